"""The places of a queue while replicas load, die and come back."""

import asyncio

import pytest

from providers.engine_host.frames import LoadFailed
from providers.errors import EngineCrashed, ModelNotReady
from tests.unit.providers.engine_host.clock import later, quiet
from tests.unit.providers.engine_host.in_memory import Engines
from tests.unit.providers.replicas.in_memory import asked, finish, requests_of, served, states


def counted(provider) -> tuple[int, int]:
    """Requests that are answered, and those that wait."""
    return provider.queue_stats.active, provider.queue_stats.pending


async def test_a_request_is_answered_as_soon_as_one_replica_is_ready(engines: Engines):
    provider = await served(engines, ready=False)
    assert provider.card.status == "loading"

    engines[1].ready()
    await quiet()

    await asked(provider, "a", "b")
    assert (provider.card.status, states(provider)) == ("ready", ["loading", "ready"])
    assert (requests_of(engines[1]), counted(provider)) == (["a"], (1, 1))
    engines[0].ready()
    await quiet()
    assert (requests_of(engines[0]), counted(provider)) == (["b"], (2, 0))


async def test_while_a_replica_is_dead_only_the_places_of_the_others_are_given(engines: Engines):
    provider = await served(engines)
    a, b = await asked(provider, "a", "b")
    assert (requests_of(engines[0]), requests_of(engines[1])) == (["a"], ["b"])

    engines[0].die("killed")
    await quiet()

    with pytest.raises(EngineCrashed, match="the engine of replica 0 of fake died during the request"):
        await a
    assert "1 of 2 replicas are ready: replica 0 is restarting (" in provider.card.detail
    (c,) = await asked(provider, "c")
    assert counted(provider) == (1, 1)  # its own place is not given to another one
    await later(10)
    engines[2].ready()
    await quiet()
    assert (requests_of(engines[2]), counted(provider), provider.card.detail) == (["c"], (2, 0), None)
    await finish(engines[1], "b")
    await finish(engines[2], "c")
    assert (b.exception(), c.exception()) == (None, None)


async def test_without_any_replica_requests_are_refused(engines: Engines):
    provider = await served(engines)
    engines[0].die()
    engines[1].die()
    await quiet()

    (refused,) = await asked(provider, "a")

    assert isinstance(refused.exception(), ModelNotReady)
    assert provider.queue_stats.rejected == 1


async def test_a_client_has_a_failed_replica_loaded_again(engines: Engines):
    provider = await served(engines, ready=False)
    engines[0].report(LoadFailed("no such folder"))
    engines[0].die()
    engines[1].ready()
    await quiet()
    assert states(provider) == ["failed", "ready"]

    await provider.load()
    await quiet()

    assert (len(engines), states(provider)) == (3, ["loading", "ready"])
    engines[2].ready()
    await quiet()
    assert (states(provider), provider.card.detail) == (["ready", "ready"], None)


async def test_a_replica_that_does_not_read_is_passed_over(engines: Engines):
    provider = await served(engines)
    engines[0].accepts = False

    await asked(provider, "a")

    assert requests_of(engines[1]) == ["a"]
    await finish(engines[1], "a")
    engines[1].accepts = False
    (refused,) = await asked(provider, "b")
    assert "does not answer" in str(refused.exception())


async def test_the_end_of_the_server_ends_all_replicas(engines: Engines):
    provider = await served(engines)
    (a,) = await asked(provider, "a")

    await provider.stop()

    assert isinstance(a.exception(), ModelNotReady)
    assert states(provider) == ["stopped", "stopped"]
    assert all(engine.calls for engine in engines.started)
    assert provider.card.status == "stopped"
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("engine")]
