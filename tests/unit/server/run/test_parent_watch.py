"""The worker's reasons to end: words from the main process, and its death."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.connection import Connection

import attrs
import pytest

from server.drain import Drain
from server.run.parent_watch import Lifecycle
from server.run.reload import Refused, Reloaded
from tests.unit.server.harness import WAIT


class Watched:
    """A drain whose begin and expiry can be awaited."""

    def __init__(self, grace_period: float) -> None:
        self.begun = asyncio.Event()
        self.expired = asyncio.Event()
        self.drain = Drain(grace_period, self.begun.set)
        self.drain.when_expired(self.expired.set)


@attrs.frozen
class Pipe:
    receiver: Connection
    sender: Connection


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        yield Pipe(receiver, sender)


async def test_drain_begins_immediately_and_expires_after_the_grace_period(pipe: Pipe) -> None:
    watched = Watched(grace_period=0.05)
    Lifecycle(connection=pipe.receiver).start(watched.drain)

    pipe.sender.send("drain")

    await asyncio.wait_for(watched.begun.wait(), WAIT)
    assert not watched.drain.expired
    await asyncio.wait_for(watched.expired.wait(), WAIT)


async def test_now_expires_the_drain_immediately(pipe: Pipe) -> None:
    watched = Watched(grace_period=3600)
    Lifecycle(connection=pipe.receiver).start(watched.drain)

    pipe.sender.send("now")

    await asyncio.wait_for(watched.expired.wait(), WAIT)
    assert watched.drain.begun


async def test_now_ends_the_grace_period_of_a_drain(pipe: Pipe) -> None:
    watched = Watched(grace_period=3600)
    Lifecycle(connection=pipe.receiver).start(watched.drain)
    pipe.sender.send("drain")
    await asyncio.wait_for(watched.begun.wait(), WAIT)

    pipe.sender.send("now")

    await asyncio.wait_for(watched.expired.wait(), WAIT)


async def test_after_stop_words_of_the_main_process_are_not_read(pipe: Pipe) -> None:
    watched = Watched(grace_period=3600)
    lifecycle = Lifecycle(connection=pipe.receiver)
    lifecycle.start(watched.drain)

    lifecycle.stop()
    lifecycle.stop()
    pipe.sender.send("now")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watched.begun.wait(), 0.05)


async def test_a_closed_pipe_starts_no_drain(pipe: Pipe) -> None:
    watched = Watched(grace_period=3600)
    Lifecycle(connection=pipe.receiver).start(watched.drain)

    pipe.sender.close()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watched.begun.wait(), 0.05)


async def test_the_parent_s_death_is_noticed_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    sentinel, parents_end = os.pipe()
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: _Parent(sentinel))
    orphaned = asyncio.Event()
    Lifecycle(on_orphaned=orphaned.set).start(Watched(1).drain)

    os.close(parents_end)

    await asyncio.wait_for(orphaned.wait(), WAIT)
    os.close(sentinel)


async def test_a_process_without_a_main_process_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: None)
    watched = Watched(1)
    lifecycle = Lifecycle()

    lifecycle.start(watched.drain)
    lifecycle.stop()

    assert not watched.drain.begun


@attrs.frozen
class _Parent:
    sentinel: int


async def test_models_reach_the_callback_in_their_order_even_if_one_cannot_be_used(pipe: Pipe) -> None:
    seen: list[object] = []
    both = asyncio.Event()

    async def note(found: object) -> None:
        seen.append(found)
        if len(seen) == 1:
            raise RuntimeError
        both.set()

    lifecycle = Lifecycle(reloads=pipe.receiver, on_reload=note)
    lifecycle.start(Watched(grace_period=3600).drain)
    pipe.sender.send(Refused("first"))
    pipe.sender.send(Reloaded(models=()))

    await asyncio.wait_for(both.wait(), 30)
    lifecycle.stop()
    assert seen == [Refused("first"), Reloaded(models=())]


async def test_a_server_that_ends_takes_no_new_models(pipe: Pipe) -> None:
    watched = Watched(grace_period=3600)
    seen: list[object] = []

    async def note(found: object) -> None:
        seen.append(found)

    lifecycle = Lifecycle(reloads=pipe.receiver, on_reload=note)
    lifecycle.start(watched.drain)
    watched.drain.begin()
    pipe.sender.send(Reloaded(models=()))

    await asyncio.sleep(0.1)
    lifecycle.stop()
    assert seen == []
