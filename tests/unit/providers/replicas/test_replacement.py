"""Other models for a running server, one of which has several engines."""

import asyncio
from contextlib import aclosing

import pytest

from providers.chat.protocol import CHAT
from providers.registry import PROVIDERS, Changes, ModelRegistry
from providers.residency import Residency
from providers.spec import ModelSpec
from tests.unit.providers.chat.chats import PATIENCE, alive, ask, ready, starts, status, text, until
from tests.unit.providers.replicas.conftest import make


@pytest.fixture
async def registry(model):
    registries: list[ModelRegistry] = []

    async def registry(*specs: ModelSpec, **rest: object) -> ModelRegistry:
        made = ModelRegistry(specs, factories={**PROVIDERS, "lm": make}, **rest)
        registries.append(made)
        await made.start()
        for spec in specs:
            await ready(made.find(CHAT, spec.name))
        return made

    yield registry
    for made in registries:
        await asyncio.wait_for(made.stop(), PATIENCE)


async def test_replicas_are_exchanged_while_others_answer(registry, model):
    served = await registry(model())
    provider = served.provider("a")
    former = starts(provider)

    changes = await served.replace((model(context_length=99, aliases=("x",)),), memory_limit=None)

    assert (changes, served.provider("x") is provider) == (Changes(changed=("a",)), True)
    while provider.spec.context_length != 99:
        assert await text(provider, "say x") == "x"
    await until(lambda: not served._rolls)
    assert (len(starts(provider)), [pid for pid in former if alive(pid)]) == (4, [])


async def test_options_that_would_not_fit_replace_all_engines_together(registry, model):
    residency = Residency(1_000, estimate=lambda spec: spec.context_length)
    served = await registry(model(context_length=99), residency=residency)
    former = served.provider("a")

    await served.replace((model(context_length=400),), memory_limit=300)

    assert served.provider("a") is not former
    await status(former, "stopped")


async def test_a_model_that_is_removed_meanwhile_is_not_exchanged_any_further(registry, model):
    served = await registry(model(), model("b"))
    gone = served.provider("b")
    async with aclosing(gone.generate(ask("hold"))) as stream:
        await anext(stream)
        await served.replace((model(), model("b", context_length=99)), memory_limit=None)
        await served.replace((model(),), memory_limit=None)
        assert gone.card.status == "ready"
    await status(gone, "stopped")
    assert not served._rolls


async def test_options_that_cannot_be_loaded_are_tried_again_by_the_next_reload(registry, model):
    served = await registry(model())
    provider = served.provider("a")

    await served.replace((model(mode="broken"),), memory_limit=None)
    await until(lambda: not served._rolls)

    assert (provider.spec, served.provider("a") is provider) == (model(), True)
    assert await text(provider, "say still") == "still"
    assert await served.replace((model(context_length=99),), memory_limit=None) == Changes(changed=("a",))
    await until(lambda: provider.spec.context_length == 99)
