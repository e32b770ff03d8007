"""An engine that dies or hangs while its host wants it: what its requests get, and the next start."""

from __future__ import annotations

import asyncio

import pytest

from providers.chat.types import Accepted
from providers.engine_host.frames import Loading
from providers.errors import EngineCrashed, ModelNotReady
from tests.unit.providers.engine_host.clock import later, quiet
from tests.unit.providers.engine_host.in_memory import Engines, opened

Logs = list[dict[str, object]]


async def test_a_death_fails_the_requests_before_the_process_has_ended(engines: Engines):
    engines.linger = True
    host = await engines.ready()
    mailbox = opened(host)
    engines[0].events(("r#1", Accepted(1, 0)))
    engines[0].die("its socket ended")
    await quiet()
    assert await anext(mailbox) == Accepted(1, 0)
    with pytest.raises(EngineCrashed) as caught:
        await anext(mailbox)
    assert (caught.value.message, caught.value.retry_after) == ("the engine of fake died during the request", 1.0)
    assert (host.status, host.detail) == ("restarting", "the engine died: its socket ended")
    assert (host.pid, host.restarts, host.last_death) == (100, 0, None)
    assert engines[0].calls == [("end", 1.0, False)]


async def test_requests_after_a_death_are_refused_until_the_next_engine_is_ready(engines: Engines):
    host = await engines.ready()
    engines[0].die("its socket ended", 1)
    await quiet()
    with pytest.raises(ModelNotReady) as caught:
        opened(host)
    death = "the engine died: its socket ended; exit status 1"
    assert caught.value.message == f"fake is restarting: {death}; the next start is 10 s after that"
    assert caught.value.retry_after == pytest.approx(10.0 + 7.0, abs=0.01)  # the pause, and the time of the last load
    await later(4)
    assert host.retry_seconds() == pytest.approx(6.0 + 7.0, abs=0.01)
    await later(6)
    engines[1].report(Loading("reading weights", 0.5))
    assert (host.status, host.detail, host.fraction) == ("restarting", "reading weights (50%)", 0.5)
    await later(20)
    assert host.refusal().retry_after == 1.0
    engines[1].ready()
    assert (host.status, host.detail, host.fraction) == ("ready", None, None)
    opened(host)
    assert engines[1].sent[-1].request.id.startswith("r#")


async def test_a_model_that_was_never_ready_is_expected_within_two_seconds_of_its_start(engines: Engines):
    host = await engines.loading()
    engines[0].die()
    await quiet()
    assert host.retry_seconds() == pytest.approx(12.0, abs=0.01)


async def test_a_death_is_counted_kept_and_logged(engines: Engines, logs: Logs):
    host = await engines.ready()
    logs.clear()
    engines[0].die("its process ended", -9)
    await quiet()
    death = "the engine died: its process ended; killed by signal 9"
    assert (host.restarts, host.last_death, host.starts, host.pid) == (1, death, 1, None)
    assert logs == [
        {"event": "engine restarts", "log_level": "warning", "model": "fake", "reason": death, "delay": 10.0}
    ]
    await later(10)
    engines[1].ready()
    assert (host.restarts, host.last_death, host.starts, host.pid) == (1, death, 2, 101)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exit status 0"),
        (1, "exit status 1"),
        (-1, "killed by signal 1"),
        (-9, "killed by signal 9"),
        (None, "its process lives on"),
    ],
)
async def test_a_death_names_how_the_process_ended(engines: Engines, status: int | None, words: str):
    host = await engines.ready()
    engines[0].die("its socket ended", status)
    await quiet()
    assert host.last_death == f"the engine died: its socket ended; {words}"


async def test_a_process_that_ended_badly_is_killed_in_any_case(engines: Engines):
    await engines.ready()
    engines[0].die()
    await quiet()
    assert engines[0].calls == [("end", 1.0, False), "kill"]


async def test_the_next_engine_starts_when_the_process_of_the_last_has_ended_and_the_pause_is_over(engines: Engines):
    engines.linger = True
    await engines.ready()
    engines[0].die()
    await later(50)
    assert len(engines) == 1
    engines[0].may_end.set()
    await later(9.9)
    assert len(engines) == 1
    await later(0.2)
    assert len(engines) == 2


async def test_pauses_grow_with_deaths_in_a_row(engines: Engines):
    host = await engines.ready()
    for delay in (10, 20, 40, 80):
        engines.started[-1].die()
        await quiet()
        assert host.detail.endswith(f"; the next start is {delay} s after that")
        await later(delay)
        engines.started[-1].ready()


async def test_a_long_life_starts_a_new_count_of_deaths(engines: Engines):
    host = await engines.ready()
    delays = []
    for life in (1, 299, 301, 1):
        await later(life)
        engines.started[-1].die()
        await quiet()
        delays.append(round(host.retry_seconds() - 7.0))
        await later(delays[-1])
        engines.started[-1].ready()
    assert delays == [10, 20, 10, 20]


async def test_an_engine_that_never_was_ready_has_no_life_that_counts(engines: Engines):
    host = await engines.ready()
    engines[0].die()
    await later(10)
    await later(1000)  # it loads for longer than a stable life
    engines[1].die()
    await quiet()
    assert host.detail.endswith("; the next start is 20 s after that")


async def test_a_fault_of_the_host_fails_the_requests_and_kills_the_engine(engines: Engines, logs: Logs):
    host = await engines.ready()
    mailbox = opened(host)
    logs.clear()
    engines[0].fault = RuntimeError("a fault")
    engines[0].die()
    with pytest.raises(ModelNotReady) as caught:
        await anext(mailbox)
    assert caught.value.message == "fake cannot be loaded: the engine's host failed: a fault"
    assert (host.status, host.pid, engines[0].calls) == ("failed", None, ["kill"])
    assert logs == [{"event": "engine host failed", "log_level": "error", "model": "fake", "exc_info": True}]


async def test_callers_wait_for_the_engine_after_a_death(engines: Engines):
    host = await engines.ready()
    engines[0].die()
    await quiet()
    waiting = asyncio.create_task(host.wait_ready())
    await later(15)
    assert not waiting.done()
    engines[1].ready()
    await waiting


async def test_start_does_nothing_while_a_dead_engine_is_replaced(engines: Engines):
    host = await engines.ready()
    engines[0].die()
    await quiet()
    host.start()
    await quiet()
    assert (host.status, len(engines)) == ("restarting", 1)


# Engines that hang


async def test_an_engine_that_hangs_is_killed_and_replaced(engines: Engines, logs: Logs):
    engines.linger = True
    host = await engines.ready()
    mailbox = opened(host)
    logs.clear()
    engines.watchdogs[-1].bite("it has sent no sign of life for 20 s")
    await quiet()
    with pytest.raises(EngineCrashed):
        await anext(mailbox)
    assert engines[0].calls == ["kill hung", ("end", 1.0, False)]
    assert (host.status, host.detail) == ("restarting", "the engine died: it has sent no sign of life for 20 s")
    engines[0].may_end.set()
    await quiet()
    death = "the engine died: it has sent no sign of life for 20 s; killed by signal 9"
    assert host.last_death == death
    assert logs == [
        {
            "event": "engine hangs and is killed",
            "log_level": "error",
            "model": "fake",
            "pid": 100,
            "reason": "it has sent no sign of life for 20 s",
        },
        {"event": "engine restarts", "log_level": "warning", "model": "fake", "reason": death, "delay": 10.0},
    ]
    await later(10)
    assert len(engines) == 2


async def test_an_engine_that_died_does_not_hang(engines: Engines):
    await engines.ready()
    engines.watchdogs[-1].bite("no sign of life")
    engines[0].die("its socket ended")
    await quiet()
    assert engines[0].calls == [("end", 1.0, False), "kill"]


async def test_an_engine_that_ends_does_not_hang(engines: Engines):
    host = await engines.ready()
    engines.watchdogs[-1].bite("no sign of life")
    await host.stop()
    assert engines[0].calls == [("end", 1.0, False), "kill"]


async def test_the_end_of_an_engine_leaves_nothing_that_waits_for_it(engines: Engines):
    host = await engines.ready()
    tasks = len(asyncio.all_tasks())
    for _ in range(3):
        engines.started[-1].die()
        await later(100)
        engines.started[-1].ready()
        assert len(asyncio.all_tasks()) == tasks
    await host.stop()
    await quiet()
    assert asyncio.all_tasks() == {asyncio.current_task()}
