"""How the worker learns that it must end."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.connection import Connection

import attrs
import pytest

from server.lifecycle import Lifecycle


@attrs.frozen
class Pipe:
    receiver: Connection
    sender: Connection


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        yield Pipe(receiver, sender)


async def test_a_drain_refuses_at_once_and_ends_answers_after_the_grace_period(pipe: Pipe) -> None:
    lifecycle = Lifecycle(grace_period=0.05, connection=pipe.receiver)
    lifecycle.start()

    pipe.sender.send("drain")
    await asyncio.wait_for(lifecycle.draining.wait(), 5)
    assert not lifecycle.ending.is_set()
    await asyncio.wait_for(lifecycle.ending.wait(), 5)
    lifecycle.stop()


async def test_now_ends_answers_at_once(pipe: Pipe) -> None:
    lifecycle = Lifecycle(grace_period=3600, connection=pipe.receiver)
    lifecycle.start()

    pipe.sender.send("now")
    await asyncio.wait_for(lifecycle.ending.wait(), 5)

    assert lifecycle.draining.is_set()
    lifecycle.stop()


async def test_now_cuts_a_drain_short(pipe: Pipe) -> None:
    lifecycle = Lifecycle(grace_period=3600, connection=pipe.receiver)
    lifecycle.start()
    pipe.sender.send("drain")
    await asyncio.wait_for(lifecycle.draining.wait(), 5)

    pipe.sender.send("now")

    await asyncio.wait_for(lifecycle.ending.wait(), 5)
    lifecycle.stop()


async def test_stopping_leaves_no_timer_and_no_reader_behind(pipe: Pipe) -> None:
    lifecycle = Lifecycle(grace_period=3600, connection=pipe.receiver)
    lifecycle.start()
    lifecycle.begin("drain")

    lifecycle.stop()
    lifecycle.stop()
    pipe.sender.send("now")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lifecycle.ending.wait(), 0.05)


async def test_a_closed_pipe_is_no_word(pipe: Pipe) -> None:
    lifecycle = Lifecycle(connection=pipe.receiver)
    lifecycle.start()

    pipe.sender.close()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lifecycle.draining.wait(), 0.05)
    lifecycle.stop()


async def test_the_death_of_the_parent_is_noticed_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    sentinel, parents_end = os.pipe()
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: _Parent(sentinel))
    orphaned = asyncio.Event()
    lifecycle = Lifecycle(on_orphaned=orphaned.set)
    lifecycle.start()

    os.close(parents_end)

    await asyncio.wait_for(orphaned.wait(), 5)
    os.close(sentinel)


async def test_a_process_without_a_parent_of_ours_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: None)
    lifecycle = Lifecycle()

    lifecycle.start()
    lifecycle.stop()

    assert not lifecycle.draining.is_set()


@attrs.frozen
class _Parent:
    sentinel: int
