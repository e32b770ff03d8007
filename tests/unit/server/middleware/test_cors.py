"""Pages of other origins: what a browser lets them do."""

from __future__ import annotations

import pytest
from litestar import Litestar

from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, Exchange, ask, make_app

NAMED = "https://debate.example"


async def preflight(app: Litestar, path: str = "/v1/chat/completions", origin: str = NAMED, **more: str) -> Exchange:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    return await ask(app, "OPTIONS", path, headers=headers)


@pytest.mark.parametrize("network", ["private-network", "local-network"])
async def test_a_page_that_is_listed_by_name_may_reach_a_private_network(network: str) -> None:
    asked = {f"access-control-request-{network}": "true"}
    allowed = await preflight(make_app(cors_origins=(NAMED,)), **asked)
    assert allowed.status == 204
    assert allowed.headers[f"access-control-allow-{network}"] == "true"
    for app in (make_app(), make_app(cors_origins=("https://other.example",))):
        assert f"access-control-allow-{network}" not in (await preflight(app, **asked)).headers


async def test_only_a_page_that_is_listed_by_name_may_send_credentials() -> None:
    headers = {"origin": NAMED}
    named = await ask(make_app(cors_origins=("*", NAMED)), json=BODY, headers=headers)
    assert named.headers["access-control-allow-origin"] == NAMED
    assert named.headers["access-control-allow-credentials"] == "true"
    assert named.headers["vary"] == "Origin"
    anyone = await ask(make_app(), json=BODY, headers=headers)
    assert anyone.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in anyone.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("DELETE", "/v1/models", 405),
        ("POST", "/v1/chat/completions", 400),
        ("POST", "/v1/audio/transcriptions", 415),
        ("GET", "/v1/models/none", 404),
    ],
)
async def test_a_page_sees_every_error(method: str, path: str, status: int) -> None:
    answer = await ask(make_app(), method, path, json={}, headers={"origin": NAMED})
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_preflight_needs_no_key_and_reaches_no_model() -> None:
    chat = FakeChat()
    answer = await preflight(make_app(chat, api_key="secret"))
    assert answer.status == 204
    assert chat.requests == []


@pytest.mark.parametrize("path", ["/internal/diagnostics", "/traces/data", "/metrics"])
async def test_details_of_the_server_are_not_shared_with_other_origins(path: str) -> None:
    app = make_app(cors_origins=("*", NAMED))
    answer = await ask(app, "GET", path, headers={"origin": NAMED})
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-origin" not in (await preflight(app, path)).headers
