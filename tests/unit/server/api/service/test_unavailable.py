"""A server with a model whose extra is not installed: listed with the command that adds it, and refused with 501."""

from __future__ import annotations

from typing import Any

import pytest
from litestar import Litestar

from providers import extras
from providers.registry import ModelRegistry
from providers.spec import ModelSpec
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.harness import BODY, ask, serving

ECHO = ModelSpec(name="chat", path="", model_type="echo")
LAZY = (
    ModelSpec(name="vectors", path="p", model_type="embeddings", lazy=True),
    ModelSpec(name="whisper", path="p", model_type="whisper", lazy=True),
    ModelSpec(name="kokoro", path="p", model_type="tts", lazy=True),
)
COMMAND = "pip install 'mlx-openai-server-lab[{}]'"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Litestar:
    """The echo, and one model of every type that needs an extra, with no extra installed."""
    monkeypatch.setattr(extras, "is_importable", lambda module: module == "mlx")
    models = (ECHO, *LAZY)
    return create_app(Settings(models=models), ModelRegistry(models))


async def test_the_list_of_models_has_what_is_missing_and_how_to_add_it(app: Litestar) -> None:
    async with serving(app):
        listed = (await ask(app, "GET", "/v1/models")).json["data"]
        one = (await ask(app, "GET", "/v1/models/kokoro")).json

    assert {model["id"]: model["status"] for model in listed} == {
        "chat": "ready",
        "vectors": "unavailable",
        "whisper": "unavailable",
        "kokoro": "unavailable",
    }
    details = {model["id"]: model.get("detail") for model in listed}
    assert details["chat"] is None
    for name, extra in (("vectors", "embeddings"), ("whisper", "transcription"), ("kokoro", "speech")):
        assert COMMAND.format(extra) in details[name]
    assert (one["status"], one["detail"]) == ("unavailable", details["kokoro"])


@pytest.mark.parametrize(
    ("path", "body", "extra"),
    [
        ("/v1/audio/speech", {"model": "kokoro", "input": "Hi", "voice": "alloy"}, "speech"),
        ("/v1/embeddings", {"model": "vectors", "input": "Hi"}, "embeddings"),
        ("/v1/rerank", {"model": "vectors", "query": "Hi", "documents": ["Hi"]}, "embeddings"),
    ],
)
async def test_a_request_for_it_is_refused_for_good(app: Litestar, path: str, body: Any, extra: str) -> None:
    async with serving(app):
        answer = await ask(app, path=path, json=body)

    assert answer.status == 501
    assert (answer.error["type"], answer.error["code"], answer.error["param"]) == (
        "server_error",
        "extra_not_installed",
        "model",
    )
    assert COMMAND.format(extra) in answer.error["message"]
    assert "retry-after" not in answer.headers


async def test_the_other_models_are_served_and_the_server_is_ready(app: Litestar) -> None:
    async with serving(app):
        chat = await ask(app, json={**BODY, "model": "anything"})
        voices = await ask(app, "GET", "/v1/audio/voices")
        ready = await ask(app, "GET", "/v1/health/ready")
        queues = await ask(app, "GET", "/v1/queue/stats")
        diagnostics = await ask(app, "GET", "/internal/diagnostics")

    assert (chat.status, ready.status, queues.status, diagnostics.status) == (200, 200, 200, 200)
    assert {voice["model"] for voice in voices.json["data"]} == {"chat"}
    assert ready.json["models"]["kokoro"] == "unavailable"


async def test_a_server_is_not_ready_while_a_model_that_it_should_load_at_start_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extras, "is_importable", lambda module: module != "mlx_audio")
    models = (ECHO, ModelSpec(name="kokoro", path="p", model_type="tts"))
    app = create_app(Settings(models=models), ModelRegistry(models))

    async with serving(app):
        health = await ask(app, "GET", "/health")
        ready = await ask(app, "GET", "/v1/health/ready")

    assert (health.status, health.json["status"]) == (503, "degraded")
    assert (ready.status, ready.json["models"]["kokoro"]) == (503, "unavailable")
