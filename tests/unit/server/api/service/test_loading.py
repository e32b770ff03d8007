"""Loading, unloading and pinning models over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from litestar import Litestar

from providers.registry import ModelRegistry
from providers.spec import ModelSpec
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.harness import ask, make_app, serving

ECHO = ModelSpec(name="org/echo", path="", model_type="echo", aliases=("nick",))


def app_of(*models: ModelSpec, **settings: Any) -> Litestar:
    return create_app(Settings(models=models, grace_period=0.05, **settings), ModelRegistry(models))


@pytest.mark.parametrize("id", ["org/echo", "nick", "org%2Fecho"])
async def test_a_model_is_unloaded_and_loaded_again_by_its_id_or_alias(id: str) -> None:
    async with serving(app_of(ECHO)) as app:
        unloaded = await ask(app, path=f"/v1/models/{id.replace('%2F', '/')}/unload")
        again = await ask(app, path=f"/v1/models/{id.replace('%2F', '/')}/unload")
        loaded = await ask(app, path=f"/v1/models/{id.replace('%2F', '/')}/load")

    assert (unloaded.status, unloaded.json["status"]) == (200, "unloaded")
    assert again.json == unloaded.json
    assert (loaded.status, loaded.json["status"], loaded.json["id"]) == (200, "ready", "org/echo")
    assert loaded.json["aliases"] == ["nick"]


async def test_a_request_loads_what_was_unloaded() -> None:
    body = {"model": "nick", "messages": [{"role": "user", "content": "Hi"}]}
    async with serving(app_of(ECHO)) as app:
        await ask(app, path="/v1/models/nick/unload")
        answer = await ask(app, json=body)
        card = await ask(app, "GET", "/v1/models/nick")

    assert answer.json["choices"][0]["message"]["content"] == "Hi"
    assert card.json["status"] == "ready"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"wait": true}', b'{"wait": false}', b'{"wait": null}'])
async def test_a_loaded_model_stays_loaded(content: bytes) -> None:
    async with serving(app_of(ECHO)) as app:
        answer = await ask(app, path="/v1/models/org/echo/load", content=content)
    assert (answer.status, answer.json["status"]) == (200, "ready")


async def test_a_model_is_pinned_and_released() -> None:
    async with serving(app_of(ECHO)) as app:
        for method, content, pinned in [
            ("POST", b"", True),
            ("POST", b'{"pinned": false}', False),
            ("POST", b'{"pinned": true}', True),
            ("DELETE", b"", False),
        ]:
            answer = await ask(app, method, "/v1/models/org/echo/pin", content=content)
            assert (answer.status, answer.json["pinned"]) == (200, pinned)
            assert (await ask(app, "GET", "/v1/models")).json["data"][0]["pinned"] is pinned


async def test_a_server_whose_model_was_unloaded_is_healthy() -> None:
    async with serving(app_of(ECHO)) as app:
        await ask(app, path="/v1/models/org/echo/unload")
        health = await ask(app, "GET", "/health")
    assert (health.status, health.json["status"], health.json["models"]) == (200, "ok", {"org/echo": "unloaded"})


@pytest.mark.parametrize("action", ["load", "unload", "pin"])
async def test_an_unknown_model_is_not_found(action: str) -> None:
    answer = await ask(app_of(ECHO), path=f"/v1/models/org/other/{action}")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert "org/echo" in answer.error["message"]


async def test_actions_need_the_key() -> None:
    answer = await ask(app_of(ECHO, api_key="secret"), path="/v1/models/org/echo/unload")
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(("action", "content"), [("load", b'{"wait": "yes"}'), ("pin", b"[1]"), ("load", b"{")])
async def test_a_wrong_body_is_refused(action: str, content: bytes) -> None:
    answer = await ask(app_of(ECHO), path=f"/v1/models/org/echo/{action}", content=content)
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")


async def test_an_id_may_end_in_the_name_of_an_action() -> None:
    async with serving(app_of(ModelSpec(name="org/load", path="", model_type="echo"))) as app:
        card = await ask(app, "GET", "/v1/models/org/load")
        unloaded = await ask(app, path="/v1/models/org/load/unload")
    assert (card.json["id"], unloaded.json["id"]) == ("org/load", "org/load")


async def test_paths_of_models_are_of_one_shape_in_openapi() -> None:
    paths = (await ask(make_app(), "GET", "/schema/openapi.json")).json["paths"]
    assert {path for path in paths if path.startswith("/v1/models/{")} == {
        "/v1/models/{model_id}",
        "/v1/models/{model_id}/load",
        "/v1/models/{model_id}/pin",
        "/v1/models/{model_id}/unload",
    }
