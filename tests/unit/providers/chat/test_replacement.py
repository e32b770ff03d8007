"""Other models for a running server: what stays, what is added, and how what is removed ends."""

import asyncio
import json
from contextlib import aclosing

import attrs
import pytest

from providers.chat.protocol import CHAT
from providers.chat.provider import EngineChatProvider
from providers.engine_host.host import EngineHost
from providers.errors import ModelNotFound
from providers.registry import PROVIDERS, Changes, ModelRegistry
from providers.residency import Residency
from providers.spec import ModelSpec
from tests.unit.providers.chat.chats import FAKE, PATIENCE, QUICK, alive, ask, ready, starts, status, text, until


def make(spec: ModelSpec) -> EngineChatProvider:
    return EngineChatProvider(spec, host=EngineHost(spec, command=FAKE, restart=QUICK))


@pytest.fixture
def model(tmp_path):
    def model(name: str, **fields: object) -> ModelSpec:
        return ModelSpec(name=name, path=json.dumps({"mode": "ready", "starts": str(tmp_path / name)}), **fields)

    return model


@pytest.fixture
async def serve():
    registries: list[ModelRegistry] = []

    async def serve(*specs: ModelSpec, **rest: object) -> ModelRegistry:
        registry = ModelRegistry(specs, factories={**PROVIDERS, "lm": make}, **rest)
        registries.append(registry)
        await registry.start()
        for spec in specs:
            await ready(registry.find(CHAT, spec.name))
        return registry

    yield serve
    for registry in registries:
        await asyncio.wait_for(registry.stop(), PATIENCE)


async def test_models_that_stay_keep_their_engine_and_others_come_and_go(serve, model):
    registry = await serve(model("a"), model("b"))
    kept, gone = registry.provider("a"), registry.provider("b")

    changes = await registry.replace((model("c"), model("a")), memory_limit=None)

    assert changes == Changes(added=("c",), removed=("b",))
    assert [provider.spec.name for provider in registry.providers()] == ["c", "a"]
    assert registry.provider("a") is kept
    assert await text(registry.find(CHAT, "c"), "say new") == "new"
    with pytest.raises(ModelNotFound):
        registry.provider("b")
    await status(gone, "stopped")
    assert (len(starts(kept)), [pid for pid in starts(gone) if alive(pid)]) == (1, [])
    await until(lambda: not registry._retired)


async def test_a_removed_model_ends_with_its_last_request(serve, model):
    registry = await serve(model("a"), model("b", max_concurrency=1))
    gone = registry.provider("b")

    async with aclosing(gone.generate(ask("hold"))) as stream:
        await anext(stream)
        waits = asyncio.create_task(text(gone, "say late"))
        await until(lambda: gone.queue_stats.pending == 1)
        await registry.replace((model("a"),), memory_limit=None)
        await asyncio.sleep(0.2)
        assert gone.card.status == "ready"
    assert await asyncio.wait_for(waits, PATIENCE) == "late"
    await status(gone, "stopped")
    assert len(starts(gone)) == 1


async def test_a_changed_model_is_loaded_again_after_the_requests_of_its_former_engine(serve, model):
    registry = await serve(model("a"), model("b"))
    former = registry.provider("b")

    async with aclosing(former.generate(ask("hold"))) as stream:
        await anext(stream)
        changes = await registry.replace((model("a"), model("b", context_length=100)), memory_limit=None)
        assert changes == Changes(changed=("b",))
        await asyncio.sleep(0.2)
        assert (registry.provider("b").card.status, former.card.status) == ("unloaded", "ready")
        # A request does not wait for those of the former engine.
        assert await text(registry.find(CHAT, "b"), "say now") == "now"
    await status(former, "stopped")
    assert registry.provider("b").card.context_length == 100


async def test_a_changed_model_is_loaded_without_a_request_too_unless_it_is_lazy(serve, model):
    registry = await serve(model("a"), model("b"))

    await registry.replace((model("a", queue_size=3), model("b", queue_size=3, lazy=True)), memory_limit=None)

    await status(registry.provider("a"), "ready")
    await until(lambda: not registry._retired)
    assert registry.provider("b").card.status == "unloaded"


async def test_in_a_budget_for_one_the_next_model_waits_for_the_end_of_the_last(serve, model):
    registry = await serve(model("a"), residency=Residency(1_500, estimate=lambda _: 1_000))
    former = registry.provider("a")
    former.footprint = lambda: 1_000

    async with aclosing(former.generate(ask("hold"))) as stream:
        await anext(stream)
        await registry.replace((model("b"),), memory_limit=1_400)
        await status(registry.provider("b"), "loading", "waiting for memory")
    await status(former, "stopped")
    await status(registry.provider("b"), "ready")
    assert registry.residency.budget == 1_400


@pytest.mark.parametrize("change", [{"aliases": ("a",)}, {"model_type": "hologram"}])
async def test_models_that_cannot_be_served_change_nothing(serve, model, change):
    registry = await serve(model("a"))
    served = registry.providers()

    with pytest.raises(ValueError, match=r"two models are named 'a'|not available in this version"):
        await registry.replace((model("a", queue_size=1), attrs.evolve(model("b"), **change)), memory_limit=1)

    assert registry.providers() == served
    assert registry.residency.budget is None
    assert await text(registry.find(CHAT, "a"), "say same") == "same"


async def test_a_model_keeps_its_engine_where_only_its_loading_changes(serve, model):
    registry = await serve(model("a"), model("b", lazy=True))
    kept = registry.provider("a")
    another = model("a", aliases=("x",), pin=True, ttl=600.0, load_policy="refuse", lazy=True)

    changes = await registry.replace((another, model("b")), memory_limit=None)

    assert changes == Changes(changed=("a", "b"))
    assert registry.provider("x") is kept
    assert (kept.spec, kept.card.aliases, kept.card.pinned, kept.card.status) == (another, ("x",), True, "ready")
    assert len(starts(kept)) == 1
    await status(registry.provider("b"), "ready")  # it is to be loaded at start now
    await registry.replace((model("a"), model("b")), memory_limit=None)
    assert (kept.card.aliases, kept.card.pinned, kept.spec.ttl) == ((), False, None)


async def test_aliases_change_with_the_models(serve, model):
    registry = await serve(model("a", aliases=("x",)), model("b"))

    await registry.replace((model("a"), model("b", aliases=("x",))), memory_limit=None)

    assert registry.provider("x").spec.name == "b"


async def test_the_end_of_the_server_ends_removed_models_too(serve, model):
    registry = await serve(model("a"), model("b"))
    gone = registry.provider("b")

    async with aclosing(gone.generate(ask("hold"))) as stream:
        await anext(stream)
        await registry.replace((model("a"),), memory_limit=None)
        await asyncio.sleep(0.05)
        await asyncio.wait_for(registry.stop(), PATIENCE)
        assert gone.card.status == "stopped"
