"""Paths, keys and pages as clients in the field use them. The numbers are those of public reports."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.server.harness import BODY, Exchange, ask, make_app

PAGE = "https://app.example"


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/v1/models/", "/v1/models?", "/models", "/v1//models", "//v1/models", "/v1/v1/models"],
)
async def test_33_models_are_listed_however_the_path_is_joined(path: str) -> None:
    answer = await ask(make_app(), "GET", path)

    assert answer.status == 200
    assert {(model["object"], type(model["created"])) for model in answer.json["data"]} == {("model", int)}


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/v1/chat/completions", "/v1/chat/completions/"])
async def test_33_a_chat_is_served_however_the_path_is_joined(path: str) -> None:
    assert (await ask(make_app(), path=path, json=BODY)).status == 200


@pytest.mark.parametrize("path", ["/v1/models/org/name", "/v1/models//org/name"])
async def test_33_a_model_that_is_unknown_is_named(path: str) -> None:
    answer = await ask(make_app(), "GET", path)

    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert "'org/name'" in answer.error["message"]


@pytest.mark.parametrize("path", ["/api/tags", "/api/v0/models", "/props"])
async def test_33_what_only_other_servers_have_is_a_404_with_an_envelope(path: str) -> None:
    answer = await ask(make_app(), "GET", path)

    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert path in answer.error["message"]


@pytest.mark.parametrize("path", ["/", "/v1/models", "/health", "/api/hello"])
async def test_4_and_33_probes_by_head_have_the_status_of_get(path: str) -> None:
    answer = await ask(make_app(), "HEAD", path)

    assert (answer.status, answer.body) == (200, b"")


async def keyed(header: str, value: str, **settings: Any) -> Exchange:
    return await ask(make_app(**settings), "GET", "/v1/models", headers={header: value, "origin": PAGE})


@pytest.mark.parametrize(
    ("header", "value"),
    [("authorization", "Bearer K"), ("authorization", "bearer K"), ("x-api-key", "K"), ("api-key", "K")],
)
async def test_34_a_key_is_read_where_clients_put_it(header: str, value: str) -> None:
    assert (await keyed(header, value, api_key="K")).status == 200


@pytest.mark.parametrize(("header", "value"), [("authorization", "K"), ("authorization", "Basic K"), ("api-key", "k")])
async def test_34_another_key_is_a_401_that_a_page_can_read(header: str, value: str) -> None:
    answer = await keyed(header, value, api_key="K")

    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("value", ["Bearer ", "Bearer null", "Bearer sk-1", "x"])
async def test_34_without_a_key_every_header_passes(value: str) -> None:
    assert (await keyed("authorization", value)).status == 200


async def test_34_health_and_preflights_need_no_key() -> None:
    app = make_app(api_key="K")
    preflight = {"origin": PAGE, "access-control-request-method": "POST"}

    assert (await ask(app, "GET", "/health")).status == 200
    assert (await ask(app, "OPTIONS", "/v1/chat/completions", headers=preflight)).status == 204


@pytest.mark.parametrize("network", ["private", "local"])
@pytest.mark.parametrize(("origins", "granted"), [((PAGE,), "true"), (("*",), None)])
async def test_20_a_page_that_is_listed_by_name_reaches_a_private_network(
    network: str, origins: tuple[str, ...], granted: str | None
) -> None:
    headers = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        f"access-control-request-{network}-network": "true",
    }
    answer = await ask(make_app(cors_origins=origins), "OPTIONS", "/v1/chat/completions", headers=headers)

    assert answer.status == 204
    assert answer.headers.get(f"access-control-allow-{network}-network") == granted
