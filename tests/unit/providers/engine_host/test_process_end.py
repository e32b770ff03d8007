"""How the host ends an engine's process."""

from __future__ import annotations

import asyncio
from signal import SIGKILL, SIGTERM

import pytest

from providers.engine_host.frames import STACK_SIGNAL, Cancel, Loading
from tests.unit.providers.engine_host.clock import now, quiet
from tests.unit.providers.engine_host.processes import Process, run

Logs = list[dict[str, object]]
REPORT = Loading("a")


def warning(following: str) -> dict[str, object]:
    return {"event": "engine did not end by itself", "log_level": "warning", "pid": 77, "next": following}


# `end`


async def test_an_engine_ends_by_itself_when_its_socket_closes(logs: Logs):
    running = await run(Process())
    ending = asyncio.create_task(running.engine.end(5.0))
    await quiet()
    assert running.sees_the_end()
    assert running.engine.send(Cancel("a")) is False
    assert not ending.done()
    running.process.exit(0)
    await ending
    assert (running.process.signals, logs) == ([], [])
    assert await running.engine.wait_lost() == "it was ended"


async def test_an_engine_that_ignores_its_socket_is_terminated_after_the_grace(logs: Logs):
    process = Process(dying=2.0)
    running = await run(process)
    await running.engine.end(5.0)
    assert process.signals == [(5.0, SIGTERM)]
    assert now() == pytest.approx(7.0, abs=0.01)
    assert logs == [warning("terminate")]


async def test_an_engine_that_ignores_sigterm_is_killed(logs: Logs):
    process = Process(deaf_to={SIGTERM})
    running = await run(process)
    await running.engine.end(5.0)
    assert process.signals == [(5.0, SIGTERM), (10.0, SIGKILL)]
    assert process.returncode == -SIGKILL
    assert logs == [warning("terminate"), warning("kill")]


async def test_an_engine_that_outlives_sigkill_is_left_and_logged(logs: Logs):
    process = Process(deaf_to={SIGTERM, SIGKILL})
    running = await run(process)
    await running.engine.end(5.0)
    assert now() == pytest.approx(15.0, abs=0.01)
    assert logs == [
        warning("terminate"),
        warning("kill"),
        {"event": "engine outlives SIGKILL", "log_level": "error", "pid": 77},
    ]


async def test_an_engine_that_loads_is_terminated_immediately(logs: Logs):
    process = Process()
    running = await run(process)
    await running.engine.end(5.0, loading=True)
    assert (process.signals, logs) == ([(0.0, SIGTERM)], [])
    assert now() == pytest.approx(0.0, abs=0.01)


async def test_an_engine_that_loads_and_ignores_sigterm_gets_its_grace_before_more(logs: Logs):
    process = Process(deaf_to={SIGTERM})
    running = await run(process)
    await running.engine.end(5.0, loading=True)
    assert process.signals == [(0.0, SIGTERM), (5.0, SIGTERM), (10.0, SIGKILL)]


@pytest.mark.parametrize("loading", [False, True])
async def test_a_process_that_has_ended_gets_no_signal(logs: Logs, loading: bool):
    process = Process()
    running = await run(process)
    process.exit(1)
    await running.engine.end(5.0, loading=loading)
    assert (process.signals, process.returncode, logs) == ([], 1, [])


async def test_a_process_that_ends_without_notice_is_no_error():
    process = Process(gone=True)
    running = await run(process)
    asyncio.get_running_loop().call_later(12.0, process.exit, 0)
    await running.engine.end(5.0, loading=True)
    assert now() == pytest.approx(12.0, abs=0.01)


# `kill_hung` and `kill`


async def test_an_engine_that_hangs_gets_half_a_second_to_write_its_stacks():
    process = Process(deaf_to={STACK_SIGNAL}, dying=3.0)
    running = await run(process)
    await running.engine.kill_hung()
    assert process.signals == [(0.0, STACK_SIGNAL), (0.5, SIGKILL)]
    assert now() == pytest.approx(3.5, abs=0.01)
    assert running.sees_the_end()
    assert await running.engine.wait_lost() == "it hangs"


async def test_an_engine_that_ends_upon_the_signal_for_its_stacks_is_not_killed():
    process = Process(dying=0.25)
    running = await run(process)
    await running.engine.kill_hung()
    assert process.signals == [(0.0, STACK_SIGNAL)]
    assert now() == pytest.approx(0.25, abs=0.01)


async def test_the_end_of_a_killed_process_is_waited_for_ten_seconds():
    process = Process(deaf_to={STACK_SIGNAL, SIGKILL})
    running = await run(process)
    await running.engine.kill_hung()
    assert now() == pytest.approx(10.5, abs=0.01)


async def test_an_engine_that_hangs_and_ended_without_notice_is_no_error():
    process = Process(gone=True)
    running = await run(process)
    await running.engine.kill_hung()
    running.engine.kill()
    assert process.signals == []


async def test_no_report_of_an_engine_that_hangs_is_delivered():
    process = Process(deaf_to={STACK_SIGNAL})
    running = await run(process)
    killing = asyncio.create_task(running.engine.kill_hung())
    await quiet()
    await running.sends(REPORT)
    await killing
    assert running.reports == []


async def test_kill_does_not_wait():
    process = Process(dying=3.0)
    running = await run(process)
    running.engine.kill()
    assert process.signals == [(0.0, SIGKILL)]
    await quiet()
    assert running.sees_the_end()
    assert await running.engine.wait_lost() == "it was ended"


async def test_kill_does_nothing_to_a_process_that_has_ended():
    process = Process()
    running = await run(process)
    process.exit(0)
    running.engine.kill()
    assert process.signals == []
