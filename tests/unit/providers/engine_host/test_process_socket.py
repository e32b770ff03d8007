"""The socket to an engine's process: frames in both directions, and its end."""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import AsyncIterator

import pytest

from providers.chat.types import TextPrompt
from providers.engine_host.frames import (
    MAX_FRAME_BYTES,
    Cancel,
    Loading,
    Tokenize,
    Tokenized,
    encode,
)
from tests.unit.providers.engine_host.clock import later, now, quiet
from tests.unit.providers.engine_host.processes import Process, Running, run

A, B, C = Loading("a", 0.5), Tokenized("b", [1, 2, 3]), Loading("c")


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    engine = await run(Process())
    yield engine
    engine.engine.kill()
    engine.socket.close()


async def test_an_engine_has_variables_beside_those_of_the_server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OF_THE_SERVER", "1")

    engine = await run(Process(), environment={"CUDA_VISIBLE_DEVICES": "3"})

    assert engine.environment.items() >= {"OF_THE_SERVER": "1", "CUDA_VISIBLE_DEVICES": "3"}.items()
    engine.engine.kill()
    engine.socket.close()


async def test_an_engine_has_its_process_s_number_and_status(running: Running):
    assert (running.command, running.environment) == (["run", "it"], {})
    assert (running.engine.pid, running.engine.returncode) == (77, None)
    running.process.exit(3)
    assert running.engine.returncode == 3


async def test_commands_arrive_in_order(running: Running):
    assert running.engine.send(Cancel("a")) is True
    assert running.engine.send(Cancel("b")) is True
    assert running.received() == [Cancel("a"), Cancel("b")]


async def test_reports_arrive_in_order_however_they_are_cut(running: Running):
    for byte in encode(A) + encode(B):
        await running.sends(bytes([byte]))
    assert running.reports == [A, B]
    await running.sends(A, B, encode(C)[:-1])
    assert running.reports == [A, B, A, B]
    await running.sends(encode(C)[-1:] + encode(A)[:2])
    assert running.reports == [A, B, A, B, C]
    await running.sends(encode(A)[2:], B)
    assert running.reports == [A, B, A, B, C, A, B]


async def test_a_report_of_megabytes_arrives(running: Running):
    large = Tokenized("large", [*range(1000)] * 1000)
    running.socket.setblocking(False)
    rest = memoryview(encode(large))
    while rest:
        rest = rest[running.socket.send(rest) :]
        await quiet()
    assert running.reports == [large]


async def test_an_engine_that_reads_nothing_gets_no_more_commands_after_two_of_the_largest(running: Running):
    command = Tokenize("", TextPrompt("x" * (MAX_FRAME_BYTES - 1000)))
    assert [running.engine.send(command) for _ in range(4)] == [True, True, True, False]
    assert running.engine.send(Cancel("a")) is False


async def test_a_command_that_cannot_be_encoded_leaves_the_socket_usable(running: Running):
    with pytest.raises(ValueError, match="over the limit"):
        running.engine.send(Cancel("x" * (MAX_FRAME_BYTES + 1)))
    with pytest.raises(UnicodeEncodeError):
        running.engine.send(Cancel("\ud800"))
    running.engine.send(Cancel("a"))
    assert running.received() == [Cancel("a")]


# The loss of an engine


async def test_the_end_of_the_socket_is_the_loss_of_the_engine(running: Running):
    await running.sends(A)
    waiting = asyncio.create_task(running.engine.wait_lost())
    await quiet()
    assert not waiting.done()
    running.socket.send(encode(B))
    running.socket.close()
    assert await waiting == "its socket ended"
    assert running.reports == [A, B]
    assert running.engine.send(Cancel("a")) is False


@pytest.mark.skipif(sys.platform != "linux", reason="other systems end such a socket in order")
async def test_an_engine_that_leaves_commands_unread_broke_its_socket(running: Running):
    running.engine.send(Cancel("a"))
    running.socket.close()
    assert await running.engine.wait_lost() == "its socket broke ([Errno 104] Connection reset by peer)"


async def test_the_last_reports_of_a_process_that_ended_are_still_delivered(running: Running):
    waiting = asyncio.create_task(running.engine.wait_lost())
    await quiet()
    running.process.exit(1)
    await later(0.5)
    assert not waiting.done()
    await running.sends(A)
    running.socket.close()
    assert await waiting == "its socket ended"
    assert running.reports == [A]


async def test_a_process_that_ended_is_lost_within_a_second_although_another_holds_its_socket(running: Running):
    running.process.exit(1)
    assert await running.engine.wait_lost() == "its process ended"
    assert now() == pytest.approx(1.0, abs=0.01)


async def test_a_wait_for_the_loss_leaves_no_task(running: Running):
    waiting = asyncio.create_task(running.engine.wait_lost())
    await quiet()
    running.socket.close()
    await waiting
    await quiet()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# Engines that break the protocol


async def test_a_frame_that_is_too_long_ends_the_socket(running: Running):
    await running.sends(A, struct.pack("<I", MAX_FRAME_BYTES + 1), b"x" * 100, B)
    assert await running.engine.wait_lost() == f"it announced a frame of {MAX_FRAME_BYTES + 1} bytes"
    assert running.reports == [A]
    assert running.sees_the_end()
    assert running.engine.send(Cancel("a")) is False


async def test_a_frame_of_the_greatest_length_is_waited_for(running: Running):
    await running.sends(struct.pack("<I", MAX_FRAME_BYTES), b"x" * 100)
    assert running.engine.send(Cancel("a")) is True


async def test_a_frame_that_is_no_report_ends_the_socket(running: Running):
    await running.sends(A, struct.pack("<I", 1), b"\xff", B)
    reason = await running.engine.wait_lost()
    assert reason.startswith("it sent a frame that is not a report (Expected `object`, got `int`")
    assert running.reports == [A]
    assert running.sees_the_end()


async def test_an_empty_frame_is_no_report(running: Running):
    await running.sends(struct.pack("<I", 0))
    assert await running.engine.wait_lost() == "it sent a frame that is not a report (Input data was truncated)"


async def test_no_report_follows_the_one_upon_which_the_host_ends_the_engine():
    class Once(list[object]):
        def append(self, report: object) -> None:
            super().append(report)
            running.engine.kill()

    running = await run(Process(), Once())
    await running.sends(A, B)
    assert running.reports == [A]
    running.socket.close()
