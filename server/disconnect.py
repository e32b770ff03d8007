"""Work that ends when its client goes away or the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from litestar.types import Receive

from providers.errors import ModelNotReady
from server.drain import Drain
from server.errors import ClientDisconnected

__all__ = ["Interrupt", "answering"]

Interrupt = Callable[[Exception], None]
"""Ends the block at its next await and makes it raise this."""


def _shut_down(interrupt: Interrupt) -> None:
    interrupt(ModelNotReady.shutting_down())


@asynccontextmanager
async def answering(
    receive: Receive, drain: Drain, *, on_expired: Callable[[Interrupt], None] = _shut_down
) -> AsyncIterator[None]:
    """Run the block while its client is connected and the server lives; enter it after reading the request's body.

    When the drain expires, `on_expired` gets the function that interrupts the block. By default it does so immediately.

    Raises:
        ClientDisconnected: the client went away; the block was cancelled where it waited.
        ModelNotReady: the grace period ended first; the block was cancelled where it waited.
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
    unregister = drain.when_expired(lambda: on_expired(interrupt))
    try:
        async with scope:
            yield
    except TimeoutError:
        if reason is None or not scope.expired():
            raise
        raise reason from None
    finally:
        over = True
        unregister()
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
