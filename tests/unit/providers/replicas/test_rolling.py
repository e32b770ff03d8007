"""Other options for a model with several engines, which are exchanged one after the other."""

import asyncio

import attrs
import pytest

from providers.engine_host.frames import Load, LoadFailed
from providers.errors import ModelNotReady
from tests.unit.providers.engine_host.clock import later, quiet
from tests.unit.providers.engine_host.in_memory import Engine, Engines
from tests.unit.providers.replicas.in_memory import asked, finish, model, requests_of, served, states


def options(engine: Engine) -> int:
    """The option that an engine was loaded with."""
    (load,) = (command for command in engine.sent if isinstance(command, Load))
    return load.spec.context_length


async def rolling(provider, **fields: object) -> asyncio.Task[None]:
    """Begin to exchange the engines."""
    spec = model(**fields)
    assert provider.rolls_to(spec)
    provider.adopt(spec)
    task = asyncio.create_task(provider.roll(spec))
    await quiet()
    return task


def sharing(engine: Engine) -> int | None:
    """How many replicas divide the free memory, by what the engine was loaded with."""
    (load,) = (command for command in engine.sent if isinstance(command, Load))
    return load.spec.loading_together


async def test_a_replica_that_is_exchanged_has_all_the_free_memory(engines: Engines):
    provider = await served(engines, replicas=3)
    assert [sharing(engine) for engine in engines.started] == [3, 3, 3]
    task = await rolling(provider, replicas=4, context_length=99)
    while not task.done():
        engines[-1].ready()
        await quiet()
    assert [sharing(engine) for engine in engines.started] == [3, 3, 3, 1, 1, 1, 1]


async def test_replicas_are_exchanged_one_after_the_other_each_after_its_requests(engines: Engines):
    provider = await served(engines)
    await asked(provider, "a", "b")

    task = await rolling(provider, context_length=99)

    assert len(engines) == 2  # the first replica still answers
    assert states(provider) == ["loading", "ready"]
    await finish(engines[0], "a")
    assert ([options(engine) for engine in engines.started], states(provider)) == (
        [32768, 32768, 99],
        ["loading", "ready"],
    )
    await asked(provider, "c")
    assert provider.queue_stats.pending == 1
    engines[2].ready()
    await quiet()
    assert (requests_of(engines[2]), states(provider)) == (["c"], ["ready", "loading"])
    assert provider.spec.context_length == 32768
    await finish(engines[1], "b")
    engines[3].ready()
    await task
    assert (options(engines[3]), states(provider)) == (99, ["ready", "ready"])
    assert (provider.spec, provider.keeps(model(context_length=99))) == (model(context_length=99), True)


async def test_one_that_cannot_answer_is_exchanged_first(engines: Engines):
    provider = await served(engines)
    engines[1].die()
    await quiet()

    task = await rolling(provider, context_length=99)

    assert states(provider) == ["ready", "loading"]
    engines[2].ready()
    await quiet()
    assert states(provider) == ["loading", "ready"]
    engines[3].ready()
    await task


async def test_no_replica_leaves_while_another_one_is_dead(engines: Engines):
    provider = await served(engines, replicas=3)
    task = await rolling(provider, replicas=3, context_length=99)
    engines[2].die()
    await quiet()
    engines[3].ready()
    await quiet()

    assert states(provider) == ["ready", "ready", "restarting"]

    await later(10)
    engines[4].ready()
    await quiet()
    assert states(provider) == ["ready", "loading", "ready"]
    engines[5].ready()
    await quiet()
    engines[6].ready()
    await task
    assert [options(engines[number]) for number in (3, 5, 6)] == [99, 99, 99]


async def test_options_that_cannot_be_loaded_change_no_further_replica(engines: Engines):
    provider = await served(engines)
    task = await rolling(provider, context_length=99)

    engines[2].report(LoadFailed("no such weights"))
    engines[2].die()
    await quiet()

    assert (options(engines[3]), states(provider)) == (32768, ["loading", "ready"])
    engines[3].ready()
    with pytest.raises(ModelNotReady, match="no such weights"):
        await task
    assert (len(engines), states(provider)) == (4, ["ready", "ready"])
    assert (provider.spec, provider.keeps(model())) == (model(), True)
    # The next attempt begins again.
    task = await rolling(provider, context_length=100)
    engines[4].ready()
    await quiet()
    engines[5].ready()
    await task
    assert provider.spec.context_length == 100


async def test_other_limits_of_the_queue_hold_when_all_are_exchanged(engines: Engines):
    provider = await served(engines)
    task = await rolling(provider, max_concurrency=2, queue_size=0)
    engines[2].ready()
    await quiet()
    engines[3].ready()
    await task

    await asked(provider, "a", "b", "c", "d")

    assert (provider.queue_stats.active, provider.full) == (4, True)


async def test_a_further_replica_leaves_the_others_as_they_are(engines: Engines):
    provider = await served(engines)
    task = await rolling(provider, replicas=3)

    assert states(provider) == ["ready", "ready", "loading"]
    engines[2].ready()
    await task

    assert (len(engines), states(provider)) == (3, ["ready"] * 3)
    await asked(provider, "a", "b", "c")
    assert requests_of(engines[2]) == ["c"]


async def test_a_replica_too_many_leaves_after_its_requests(engines: Engines):
    provider = await served(engines, replicas=3)
    await asked(provider, "a", "b", "c")
    task = await rolling(provider, replicas=2)

    await finish(engines[2], "c")
    await task

    assert (states(provider), engines[2].calls != []) == (["ready", "ready"], True)
    assert provider.queue_stats.active == 2


async def test_a_model_that_is_not_loaded_or_has_one_engine_does_not_roll(engines: Engines):
    provider = await served(engines)
    assert not provider.rolls_to(model(model_type="embeddings"))
    await provider.unload()
    assert not provider.rolls_to(model(context_length=99))

    single = await served(engines, replicas=1)
    assert not single.rolls_to(model(context_length=99))


async def test_an_unload_waits_for_the_last_replica(engines: Engines):
    provider = await served(engines)
    task = await rolling(provider, context_length=99)
    unloads = asyncio.create_task(provider.unload())
    engines[2].ready()
    await quiet()
    assert not unloads.done()
    engines[3].ready()
    await task
    await unloads
    assert states(provider) == ["unloaded", "unloaded"]


async def test_the_former_options_may_return_while_the_new_ones_are_on_their_way(engines: Engines):
    provider = await served(engines)
    first = await rolling(provider, context_length=99)

    assert not provider.keeps(model())
    second = await rolling(provider)
    for number in (2, 3, 4, 5):
        engines[number].ready()
        await quiet()
    await first
    await second

    assert [options(engine) for engine in engines.started] == [32768, 32768, 99, 99, 32768, 32768]
    assert provider.spec == model()


async def test_aliases_change_immediately(engines: Engines):
    provider = await served(engines)
    task = await rolling(provider, context_length=99, aliases=("x",))

    assert provider.card.aliases == ("x",)
    provider.adopt(attrs.evolve(model(context_length=99), aliases=("y",)))
    engines[2].ready()
    await quiet()
    engines[3].ready()
    await task
    assert (provider.card.aliases, provider.spec.context_length) == (("y",), 99)


async def test_the_end_of_the_server_ends_an_exchange(engines: Engines):
    provider = await served(engines)
    task = await rolling(provider, context_length=99)

    task.cancel()
    await asyncio.wait({task})
    await provider.stop()

    assert set(states(provider)) == {"stopped"}
