"""Work that ends when its client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from litestar.types import Receive

from server.errors import ClientDisconnected

__all__ = ["Interrupt", "while_connected"]

Interrupt = Callable[[Exception], None]
"""Ends the block at its next await and makes it raise this."""


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[Interrupt]:
    """Run the block until the client disconnects; enter it when the request's body has been read.

    Yields what interrupts the block for other reasons.

    Raises:
        ClientDisconnected: the client went away; the block was cancelled where it waited.
    """
    loop = asyncio.get_running_loop()
    scope = asyncio.timeout(None)
    reason: Exception | None = None
    over = False

    def interrupt(error: Exception) -> None:
        nonlocal reason
        if reason is None and not over:
            reason = error
            scope.reschedule(loop.time())

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        interrupt(ClientDisconnected())

    watcher = loop.create_task(watch())
    try:
        async with scope:
            yield interrupt
    except TimeoutError:
        if reason is None or not scope.expired():
            raise
        raise reason from None
    finally:
        over = True
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
