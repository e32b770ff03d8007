"""The worker's start: models first, the application while they load, and no model left after a failure."""

from __future__ import annotations

import gc
from typing import Any

import attrs
import pytest
import structlog

from providers.spec import ModelSpec
from server.run.preload import EnginesFirst
from server.settings.settings import Settings

SETTINGS = Settings(models=(ModelSpec(name="any", path="", model_type="lm"),))


class Models:
    """A registry that records its calls."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def start(self) -> None:
        self.told.append("start")

    async def stop(self) -> None:
        self.told.append("stop")


async def receive() -> Any:
    return {"type": "lifespan.startup"}


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the test process's logging unchanged."""
    monkeypatch.setattr("server.run.preload.configure_logging", lambda settings: None)


async def test_models_start_before_the_application_is_built() -> None:
    models, scopes = Models(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope["type"])

    def build() -> Any:
        models.told.append("build")
        return app

    early = EnginesFirst(SETTINGS, models, build)  # type: ignore[arg-type]
    for kind in ("lifespan", "http"):
        await early({"type": kind}, receive, receive)  # type: ignore[arg-type]

    assert models.told == ["start", "build"]
    assert scopes == ["lifespan", "http"]


async def test_garbage_is_collected_again_when_the_application_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(gc, "collect", lambda: done.append("collect"))
    monkeypatch.setattr(gc, "enable", lambda: done.append("enable"))

    async def app(*_: Any) -> None:
        done.append("serve")

    def build() -> Any:
        done.append("build")
        return app

    await EnginesFirst(SETTINGS, Models(), build)({"type": "lifespan"}, receive, receive)  # type: ignore[arg-type]

    assert done == ["build", "collect", "enable", "serve"]


async def test_a_failed_application_start_stops_the_models_and_is_reported() -> None:
    models, sent = Models(), []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    def build() -> Any:
        raise RuntimeError("no")

    early = EnginesFirst(SETTINGS, models, build)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="no"):
        await early({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]

    assert models.told == ["start", "stop"]
    assert sent == ["lifespan.startup.failed"]


async def test_options_without_effect_are_one_line_of_the_log() -> None:
    notes = ("--pipeline has no effect: a model runs on one machine", "--prompt-concurrency has no effect: …")
    early = EnginesFirst(attrs.evolve(SETTINGS, notes=notes), Models(), lambda: receive)  # type: ignore[arg-type]

    with structlog.testing.capture_logs() as lines:
        await early._start(receive)

    assert [(line["event"], line["options"]) for line in lines] == [("options without effect", list(notes))]


@pytest.mark.parametrize(
    ("changes", "warnings"),
    [
        ({"host": "0.0.0.0"}, ["every machine that reaches 0.0.0.0 can use this server"]),
        ({"host": "::", "api_key_file": ("k",)}, []),
        ({"host": "::1"}, []),
        ({"api_key": "k", "key_on_command_line": True}, ["the key is in the list of processes"]),
    ],
)
async def test_a_server_that_others_can_use_warns_its_owner(changes: dict[str, Any], warnings: list[str]) -> None:
    early = EnginesFirst(attrs.evolve(SETTINGS, **changes), Models(), lambda: receive)  # type: ignore[arg-type]

    with structlog.testing.capture_logs() as lines:
        await early._start(receive)

    logged = [line["event"] for line in lines]
    assert len(logged) == len(warnings)
    assert all(line.startswith(warning) for line, warning in zip(logged, warnings, strict=True))
