"""Engines that their host ends: stop and unload, and the start after them."""

from __future__ import annotations

import asyncio

import pytest

from providers.engine_host.frames import LoadFailed, Memory, Tokenized
from providers.errors import ModelNotReady
from tests.unit.providers.engine_host.clock import later, now, quiet
from tests.unit.providers.engine_host.in_memory import Engines, opened

Logs = list[dict[str, object]]


async def begun(work: object) -> asyncio.Task[None]:
    task = asyncio.ensure_future(work)
    await quiet()
    return task


# Stop


async def test_stop_fails_the_requests_and_returns_when_the_process_has_ended(engines: Engines):
    engines.linger = True
    host = await engines.ready()
    mailbox = opened(host)
    stopping = await begun(host.stop())
    with pytest.raises(ModelNotReady) as caught:
        await anext(mailbox)
    assert (caught.value.message, caught.value.retry_after) == ("the server is shutting down", 5.0)
    assert (host.status, host.detail, host.pid) == ("stopped", None, 100)
    assert not stopping.done()
    engines[0].may_end.set()
    await stopping
    assert engines[0].calls == [("end", 1.0, False), "kill"]
    assert (host.status, host.pid, host.restarts, len(engines)) == ("stopped", None, 0, 1)


@pytest.mark.parametrize(
    ("options", "grace"),
    [({}, 1.0), ({"prefix_cache_dir": "prompts"}, 3.0), ({"grace": 0.0}, 0.0), ({"grace": 9.0}, 9.0)],
)
async def test_an_engine_gets_its_time_to_end(engines: Engines, options: dict[str, object], grace: float):
    host = await engines.ready(**options)
    await host.stop()
    assert engines[0].calls[0] == ("end", grace, False)


async def test_stop_is_for_good(engines: Engines, logs: Logs):
    host = await engines.ready()
    await host.stop()
    await host.stop()
    logs.clear()
    host.start()
    await host.start_again()
    await host.unload()
    await later(100)
    assert (host.status, len(engines), logs) == ("stopped", 1, [])
    with pytest.raises(ModelNotReady, match=r"^the server is shutting down$"):
        await host.wait_ready()
    with pytest.raises(ModelNotReady, match=r"^the server is shutting down$"):
        opened(host)


async def test_a_host_stopped_before_its_start_never_starts(engines: Engines):
    host = engines.host()
    await host.stop()
    host.start()
    await quiet()
    assert (host.status, len(engines)) == ("stopped", 0)


async def test_a_stop_that_is_given_up_still_ends_the_engine(engines: Engines):
    engines.linger = True
    host = await engines.ready()
    stopping = await begun(host.stop())
    stopping.cancel()
    await quiet()
    engines[0].may_end.set()
    await quiet()
    assert stopping.cancelled()
    assert (host.status, host.pid) == ("stopped", None)


async def test_begin_stop_does_not_wait(engines: Engines):
    host = await engines.ready()
    host.begin_stop()
    assert (host.status, host.pid) == ("stopped", 100)
    await quiet()
    assert host.pid is None


async def test_an_engine_that_loads_is_ended_as_such_and_its_callers_wake(engines: Engines):
    host = await engines.loading()
    waiting = await begun(host.wait_ready())
    await host.stop()
    assert engines[0].calls == [("end", 1.0, True), "kill"]
    with pytest.raises(ModelNotReady, match=r"^the server is shutting down$"):
        await waiting


async def test_a_stop_in_the_first_moment_starts_no_engine(engines: Engines, logs: Logs):
    host = engines.host()
    host.start()
    await host.stop()
    assert (len(engines), logs) == (0, [])


async def test_a_stop_while_the_process_starts_ends_it(engines: Engines):
    host = engines.host()
    host.start()
    await asyncio.sleep(0)  # the supervisor runs, and the process starts
    await host.stop()
    assert (len(engines), engines[0].calls) == (1, [("end", 1.0, True), "kill"])


async def test_a_stop_between_two_engines_starts_no_more(engines: Engines):
    host = await engines.ready()
    engines[0].die()
    await quiet()
    await host.stop()
    assert now() < 1.0
    await later(100)
    assert (host.status, host.detail, len(engines)) == ("stopped", None, 1)


async def test_a_stop_while_a_dead_engine_ends_counts_no_restart(engines: Engines):
    engines.linger = True
    host = await engines.ready()
    engines[0].die()
    await quiet()
    host.begin_stop()
    engines[0].may_end.set()
    await later(100)
    assert (host.status, host.restarts, len(engines)) == ("stopped", 0, 1)


async def test_a_stop_after_a_failure_is_a_stop(engines: Engines):
    host = await engines.loading()
    engines[0].report(LoadFailed("no such folder"))
    await host.stop()
    assert (host.status, host.detail) == ("stopped", None)


async def test_reports_of_an_engine_that_ends_are_dropped(engines: Engines):
    engines.linger = True
    host = await engines.loading()
    host.begin_stop()
    engines[0].ready()
    engines[0].report(Memory(1, 2, 3, 4))
    engines[0].report(LoadFailed("no such folder"))
    engines[0].report(Tokenized("?1", []))
    assert (host.status, host.detail, host.info, host.memory) == ("stopped", None, None, None)


async def test_a_fault_while_a_stopped_engine_starts_is_only_logged(engines: Engines, logs: Logs):
    engines.failures = [RuntimeError("a fault")]
    host = engines.host()
    host.start()
    await asyncio.sleep(0)
    await host.stop()
    assert (host.status, host.detail) == ("stopped", None)
    assert [line["event"] for line in logs] == ["engine host failed"]


# Unload


async def test_unload_returns_when_the_memory_is_free(engines: Engines):
    engines.linger = True
    host = await engines.ready()
    mailbox = opened(host)
    unloading = await begun(host.unload())
    with pytest.raises(ModelNotReady) as caught:
        await anext(mailbox)
    assert (caught.value.message, caught.value.retry_after) == ("fake is unloaded", 1.0)
    assert (host.status, host.detail, host.fraction) == ("unloaded", None, None)
    assert not unloading.done()
    engines[0].may_end.set()
    await unloading
    assert (host.pid, host.restarts, engines[0].calls) == (None, 0, [("end", 1.0, False), "kill"])


async def test_unload_wakes_callers_that_wait_for_the_engine(engines: Engines):
    host = await engines.loading()
    waiting = await begun(host.wait_ready())
    await host.unload()
    with pytest.raises(ModelNotReady, match=r"^fake is unloaded$"):
        await waiting


async def test_unload_does_nothing_before_a_start(engines: Engines):
    host = engines.host()
    await host.unload()
    assert host.status == "unloaded"


async def test_both_of_two_unloads_wait_for_the_end(engines: Engines):
    engines.linger = True
    host = await engines.ready()
    first, second = await begun(host.unload()), await begun(host.unload())
    assert (first.done(), second.done()) == (False, False)
    engines[0].may_end.set()
    await asyncio.gather(first, second)
    await host.unload()
    assert host.status == "unloaded"


async def test_an_unload_that_is_given_up_still_ends_the_engine(engines: Engines):
    engines.linger = True
    host = await engines.ready()
    unloading = await begun(host.unload())
    unloading.cancel()
    await quiet()
    engines[0].may_end.set()
    await quiet()
    assert (host.status, host.pid) == ("unloaded", None)


async def test_unload_between_two_engines_starts_no_more(engines: Engines):
    host = await engines.ready()
    engines[0].die()
    await quiet()
    await host.unload()
    await later(100)
    assert (host.status, len(engines)) == ("unloaded", 1)


async def test_a_stop_during_an_unload_is_a_stop(engines: Engines):
    engines.linger = True
    host = await engines.ready()
    unloading = await begun(host.unload())
    stopping = await begun(host.stop())
    engines[0].may_end.set()
    await asyncio.gather(unloading, stopping)
    assert host.status == "stopped"


async def test_an_unloaded_model_is_loaded_again(engines: Engines):
    host = await engines.ready()
    await host.unload()
    host.start()
    assert (host.status, host.detail) == ("loading", None)
    waiting = await begun(host.wait_ready())
    engines[1].ready()
    await waiting
    assert (host.starts, host.restarts) == (2, 0)


async def test_the_next_engine_starts_when_the_process_of_the_last_is_gone(engines: Engines):
    engines.linger = True
    host = await engines.ready()
    unloading = await begun(host.unload())
    host.start()
    host.start()
    await later(100)
    assert (host.status, len(engines)) == ("loading", 1)
    assert not unloading.done()
    engines[0].may_end.set()
    await unloading
    await quiet()
    assert (host.status, len(engines)) == ("loading", 2)
    engines[1].ready()
    opened(host)
    assert engines[1].sent[-1].request.id == "r#1"


async def test_the_end_of_the_last_engine_does_not_touch_the_next(engines: Engines):
    engines.linger = True
    host = await engines.ready()
    await begun(host.unload())
    host.start()
    waiting = await begun(host.wait_ready())
    engines[0].report(LoadFailed("too late"))
    engines[0].ready()
    engines[0].may_end.set()
    await quiet()
    assert (host.status, host.detail, waiting.done()) == ("loading", None, False)
    engines[1].ready()
    await waiting


async def test_a_stop_while_the_next_start_waits_starts_nothing(engines: Engines):
    engines.linger = True
    host = await engines.ready()
    await begun(host.unload())
    host.start()
    stopping = await begun(host.stop())
    engines[0].may_end.set()
    await stopping
    await later(100)
    assert (host.status, len(engines)) == ("stopped", 1)
