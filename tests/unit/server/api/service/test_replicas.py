"""What the API names of a model with several engines."""

from __future__ import annotations

import os
from typing import Any

import pytest

from providers.registry import PROVIDERS, ModelRegistry
from providers.spec import ModelSpec
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.providers.chat.chats import ready, until
from tests.unit.providers.replicas.conftest import make
from tests.unit.providers.replicas.conftest import model as model
from tests.unit.server.harness import ask, serving


@pytest.fixture
def application(model: Any) -> Any:
    """A server with a fake model of two replicas."""
    models = (model(), ModelSpec(name="echo", path="", model_type="echo"))
    registry = ModelRegistry(models, factories={**PROVIDERS, "lm": make})
    return create_app(Settings(models=models, grace_period=0.05), registry)


def hosts(app: Any) -> Any:
    return app.state.service.registry.provider("a").host.engines


async def answered(app: Any) -> None:
    """Have one request answered."""
    await ready(app.state.service.registry.provider("a"))
    await ask(app, path="/v1/completions", json={"model": "a", "prompt": "say x"})


async def test_models_and_queues_name_the_replicas(application: Any) -> None:
    def replica(number: int, requests: int) -> dict[str, object]:
        routed = {"prefix": 0, "key": 0, "load": requests, "overload": 0}
        return {"replica": number, "status": "ready", "active": 0, "routed": routed}

    async with serving(application) as app:
        await answered(app)
        models = {each["id"]: each for each in (await ask(app, "GET", "/v1/models")).json["data"]}
        stats = (await ask(app, "GET", "/v1/queue/stats")).json

    assert models["a"]["replicas"] == [replica(0, 1), replica(1, 0)]
    assert stats["replicas"] == {"a": models["a"]["replicas"]}
    assert "replicas" not in models["echo"]
    assert stats["models"]["a"]["completed"] == 1


async def test_diagnostics_have_the_process_of_each_replica(application: Any) -> None:
    async with serving(application) as app:
        await answered(app)
        a, echo = (await ask(app, "GET", "/internal/diagnostics")).json["models"]
        assert a["engine"] is None
        assert "replicas" not in echo
        assert [each["replica"] for each in a["replicas"]] == [0, 1]
        assert [each["pid"] for each in a["replicas"]] == [host.pid for host in hosts(app)]
        assert {each["status"] for each in a["replicas"]} == {"ready"}

        os.kill(a["replicas"][1]["pid"], 9)
        await until(lambda: hosts(app)[1].restarts == 1)
        _, second = (await ask(app, "GET", "/internal/diagnostics")).json["models"][0]["replicas"]
        assert (second["restarts"], "signal 9" in second["last_death"]) == (1, True)
