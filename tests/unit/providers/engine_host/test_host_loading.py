"""The host from the start of an engine until it is ready, or given up."""

from __future__ import annotations

import asyncio

import pytest

from providers.engine_host.frames import Load, LoadFailed, Loading
from providers.engine_host.host import ENGINE_COMMAND, EngineHost
from providers.engine_host.restart import RestartPolicy
from providers.errors import ModelNotReady
from providers.spec import ModelSpec
from tests.unit.providers.engine_host.clock import later, now, quiet
from tests.unit.providers.engine_host.in_memory import INFO, Engines

Logs = list[dict[str, object]]


def task_names() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


async def test_a_host_that_was_not_started_has_no_engine(engines: Engines):
    host = engines.host()
    await quiet()
    assert (host.status, host.detail, host.fraction, host.pid) == ("unloaded", None, None, None)
    assert (host.starts, host.restarts, host.last_death, host.info, host.memory) == (0, 0, None, None, None)
    assert len(engines) == 0
    refusal = host.refusal()
    assert (refusal.message, refusal.retry_after) == ("fake is unloaded", 1.0)


async def test_a_started_host_sends_its_model_to_an_engine(engines: Engines, logs: Logs):
    host = await engines.loading()
    (engine,) = engines.started
    assert engine.sent == [Load(ModelSpec(name="fake", path="weights"))]
    assert engine.command == ("run", "it")
    assert (host.status, host.detail, host.fraction) == ("loading", None, None)
    assert (host.starts, host.pid) == (1, 100)
    assert "engine fake" in task_names()
    assert logs == [{"event": "engine starts", "log_level": "info", "model": "fake", "pid": 100}]


async def test_the_default_command_is_that_of_the_engines(engines: Engines):
    host = EngineHost(ModelSpec(name="fake", path=""), start=engines.start)
    host.start()
    await quiet()
    assert engines[0].command == ENGINE_COMMAND


async def test_each_engine_has_a_watchdog_with_the_timeout_of_its_model(engines: Engines):
    await engines.ready(watchdog_timeout=33.0)
    engines[0].die()
    await later(10)
    assert {watchdog.timeout for watchdog in engines.watchdogs} == {33.0}
    assert engines.watchdogs[-1] is not engines.watchdogs[-2]


async def test_a_second_start_does_nothing_while_the_engine_loads_or_is_ready(engines: Engines):
    host = await engines.loading()
    engines[0].report(Loading("reading weights", 0.5))
    host.start()
    assert (host.status, host.detail) == ("loading", "reading weights (50%)")
    engines[0].ready()
    host.start()
    await quiet()
    assert (host.status, len(engines)) == ("ready", 1)


async def test_a_stage_of_loading_and_its_part_are_shown(engines: Engines):
    host = await engines.loading()
    engines[0].report(Loading("reading weights", 0.256))
    assert (host.status, host.detail, host.fraction) == ("loading", "reading weights (26%)", 0.256)
    engines[0].report(Loading("warming up"))
    assert (host.detail, host.fraction) == ("warming up", None)
    refusal = host.refusal()
    assert (refusal.message, refusal.retry_after) == ("fake is loading: warming up", 1.0)


async def test_a_ready_engine_ends_the_wait_and_is_logged_with_the_length_of_its_lists(engines: Engines, logs: Logs):
    host = await engines.loading()
    waiting = asyncio.create_task(host.wait_ready())
    engines[0].report(Loading("reading weights", 0.5))
    await quiet()
    assert not waiting.done()
    engines[0].ready()
    await waiting
    assert (host.status, host.detail, host.fraction, host.info) == ("ready", None, None, INFO)
    assert host.refusal() is None
    assert logs[-1] == {
        "event": "engine ready",
        "log_level": "info",
        "model": "fake",
        "pid": 100,
        "context_length": 4096,
        "device": "cpu",
        "dtype": "float32",
        "blas": "-",
        "load_seconds": 7.0,
        "details": {"voices": 3, "layers": 2},
    }


async def test_the_watchdog_learns_that_loading_is_over(engines: Engines):
    await engines.ready()
    assert engines.watchdogs[-1].beats == ["loaded"]


async def test_progress_that_comes_after_ready_changes_nothing(engines: Engines):
    host = await engines.ready()
    engines[0].report(Loading("late", 0.5))
    assert (host.status, host.detail, host.fraction) == ("ready", None, None)
    await host.wait_ready()


async def test_a_second_ready_changes_nothing(engines: Engines, logs: Logs):
    await engines.ready()
    count = len(logs)
    engines[0].ready()
    assert len(logs) == count


async def test_an_engine_ready_for_a_host_that_gave_it_up_changes_nothing(engines: Engines):
    host = await engines.loading()
    engines[0].report(LoadFailed("no such folder"))
    engines[0].ready()
    assert (host.status, host.detail) == ("failed", "no such folder")


# Loads that fail


async def test_a_load_that_cannot_succeed_fails_the_model_with_the_engine_s_words(engines: Engines, logs: Logs):
    host = await engines.loading()
    waiting = asyncio.create_task(host.wait_ready())
    engines[0].report(Loading("reading weights", 0.5))
    engines[0].report(LoadFailed("no such folder"))
    assert (host.status, host.detail, host.fraction) == ("failed", "no such folder", None)
    with pytest.raises(ModelNotReady) as caught:
        await waiting
    assert (caught.value.message, caught.value.retry_after) == ("fake cannot be loaded: no such folder", None)
    engines[0].die()
    await later(100)
    assert (host.status, host.detail, host.restarts, host.pid) == ("failed", "no such folder", 0, None)
    assert len(engines) == 1
    assert logs[-1] == {
        "event": "model cannot be loaded",
        "log_level": "error",
        "model": "fake",
        "reason": "no such folder",
    }


async def test_start_does_nothing_after_a_failure(engines: Engines):
    host = await engines.loading()
    engines[0].report(LoadFailed("no such folder"))
    engines[0].die()
    await quiet()
    host.start()
    await quiet()
    assert (host.status, len(engines)) == ("failed", 1)


async def test_after_a_failure_the_model_can_be_loaded_again(engines: Engines):
    engines.linger = True
    host = await engines.loading()
    engines[0].report(LoadFailed("no network"))
    again = asyncio.create_task(host.start_again())
    engines[0].die()
    await quiet()
    assert (host.status, len(engines)) == ("failed", 1)  # the memory of the old engine is not free yet
    engines[0].may_end.set()
    await again
    assert (host.status, host.detail) == ("loading", None)
    await quiet()
    engines[1].ready()
    await host.wait_ready()
    assert host.starts == 2


async def test_two_callers_that_load_again_start_one_engine(engines: Engines):
    host = await engines.loading()
    engines[0].report(LoadFailed("no network"))
    engines[0].die()
    await asyncio.gather(host.start_again(), host.start_again())
    await quiet()
    assert (host.status, len(engines)) == ("loading", 2)


async def test_a_stop_during_loading_again_starts_nothing(engines: Engines):
    engines.linger = True
    host = await engines.loading()
    engines[0].report(LoadFailed("no network"))
    again = asyncio.create_task(host.start_again())
    engines[0].die()
    await quiet()
    host.begin_stop()
    engines[0].may_end.set()
    await again
    await quiet()
    assert (host.status, len(engines)) == ("stopped", 1)


async def test_loading_again_needs_a_failure(engines: Engines):
    unloaded = engines.host()
    await unloaded.start_again()
    assert unloaded.status == "unloaded"
    host = await engines.ready()
    await host.start_again()
    await quiet()
    assert (host.status, len(engines)) == ("ready", 1)


async def test_a_load_that_may_succeed_later_is_tried_again(engines: Engines):
    host = await engines.loading()
    engines[0].report(LoadFailed("no memory", permanent=False))
    assert host.status == "loading"
    engines[0].die("its socket ended", 1)
    await quiet()
    assert (host.status, host.detail) == (
        "restarting",
        "the model cannot be loaded: no memory; the next start is 10 s after that",
    )
    assert (host.restarts, host.last_death) == (1, "the model cannot be loaded: no memory")
    await later(10)
    engines[1].ready()
    assert host.status == "ready"
    engines[1].die("its socket ended", 1)
    await quiet()
    assert host.last_death == "the engine died: its socket ended; exit status 1"


async def test_a_load_that_cannot_succeed_fails_the_model_after_deaths_too(engines: Engines):
    host = await engines.loading(restart=RestartPolicy(first_delay=10.0, attempts=2))
    engines[0].die("its socket ended", 3)
    await later(10)
    assert host.status == "restarting"
    engines[1].report(LoadFailed("no such folder"))
    assert (host.status, host.detail) == ("failed", "no such folder")
    engines[1].die()
    await later(100)
    assert (host.status, host.detail, len(engines)) == ("failed", "no such folder", 2)


async def test_a_model_that_was_ready_once_is_not_failed_by_a_load_that_cannot_succeed(engines: Engines):
    host = await engines.ready()
    engines[0].die()
    await later(10)
    for number in range(1, 8):
        engines[number].report(LoadFailed("no such folder"))
        assert host.status == "restarting"
        engines[number].die()
        await later(1000)
    engines[8].ready()
    assert (host.status, host.restarts) == ("ready", 8)


async def test_a_model_loaded_anew_may_fail_although_it_was_ready_before(engines: Engines):
    host = await engines.ready()
    await host.unload()
    host.start()
    await quiet()
    engines[1].report(LoadFailed("no such folder"))
    assert (host.status, host.detail) == ("failed", "no such folder")


async def test_a_refusal_to_load_from_a_ready_engine_does_not_fail_the_model(engines: Engines):
    host = await engines.ready()
    engines[0].report(LoadFailed("what"))
    assert host.status == "ready"


async def test_a_model_whose_engines_only_die_is_given_up(engines: Engines, logs: Logs):
    host = await engines.loading()
    waiting = asyncio.create_task(host.wait_ready())
    engines[0].die("its socket ended", 3)
    await later(10)
    engines[1].die("its socket ended", 3)
    await later(20)
    engines[2].die("its process ended", -11)
    with pytest.raises(ModelNotReady) as caught:
        await waiting
    detail = "the engine died 3 times before it was ready: the engine died: its process ended; killed by signal 11"
    assert (host.status, host.detail, host.fraction, host.restarts) == ("failed", detail, None, 2)
    assert (caught.value.message, caught.value.retry_after) == (f"fake cannot be loaded: {detail}", None)
    assert logs[-1] == {
        "event": "model cannot be loaded",
        "log_level": "error",
        "model": "fake",
        "reason": detail,
    }
    await later(1000)
    assert len(engines) == 3


async def test_the_default_policy_gives_up_after_five_deaths(engines: Engines):
    host = engines.host(restart=None)
    host.start()
    for _ in range(5):
        await later(30)
        engines.started[-1].die()
    with pytest.raises(ModelNotReady, match="died 5 times"):
        await host.wait_ready()


async def test_a_process_that_cannot_be_started_counts_as_a_death(engines: Engines):
    engines.failures = [OSError(2, "No such file or directory"), PermissionError(13, "Permission denied")]
    host = engines.host(restart=RestartPolicy(first_delay=1.0, attempts=2))
    host.start()
    await quiet()
    reason = "the engine's process cannot be started: [Errno 2] No such file or directory"
    assert (host.status, host.detail) == ("loading", f"{reason}; the next start is 1 s after that")
    assert (host.starts, host.restarts, host.last_death) == (0, 1, reason)
    with pytest.raises(ModelNotReady, match=r"died 2 times .* cannot be started: \[Errno 13\] Permission denied"):
        await host.wait_ready()
    assert now() == pytest.approx(1.0, abs=0.01)


async def test_a_fault_of_the_host_fails_the_model_and_is_logged(engines: Engines, logs: Logs):
    engines.failures = [RuntimeError("a fault")]
    host = await engines.loading()
    assert (host.status, host.detail) == ("failed", "the engine's host failed: a fault")
    with pytest.raises(ModelNotReady, match="fake cannot be loaded: the engine's host failed: a fault"):
        await host.wait_ready()
    assert logs == [{"event": "engine host failed", "log_level": "error", "model": "fake", "exc_info": True}]
