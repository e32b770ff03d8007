"""`answering`: when it interrupts its block, and how it cleans up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from providers.errors import ModelNotReady
from server.disconnect import Interrupt, answering
from server.drain import Drain
from server.errors import ClientDisconnected


class Client:
    """Connected until `gone` is set."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}


def new_drain() -> Drain:
    return Drain(60.0, lambda: None)


async def until(event: Callable[[], None]) -> None:
    """Trigger the event, then wait longer than the test may last."""
    event()
    await asyncio.sleep(60)


async def test_a_disconnect_interrupts_the_block() -> None:
    client = Client()
    with pytest.raises(ClientDisconnected):
        async with answering(client.receive, new_drain()):
            await until(client.gone.set)


async def test_the_end_of_the_grace_period_interrupts_the_block() -> None:
    drain = new_drain()
    with pytest.raises(ModelNotReady, match="shutting down"):
        async with answering(Client().receive, drain):
            await until(drain.expire)


async def test_a_block_may_handle_the_end_of_the_grace_period_itself() -> None:
    drain, client = new_drain(), Client()
    interrupts: list[Interrupt] = []
    async with answering(client.receive, drain, on_expired=interrupts.append):
        drain.expire()
        await asyncio.sleep(0)
    assert len(interrupts) == 1
    interrupts[0](ModelNotReady("too late"))


async def test_a_finished_block_leaves_neither_task_nor_registration() -> None:
    drain = new_drain()
    tasks = asyncio.all_tasks()
    async with answering(Client().receive, drain):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    drain.expire()
    await asyncio.sleep(0)


async def test_a_timeout_inside_the_block_passes_through() -> None:
    with pytest.raises(TimeoutError):
        async with answering(Client().receive, new_drain()), asyncio.timeout(0):
            await asyncio.sleep(60)
