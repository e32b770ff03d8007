"""Bodies that a response did not wait for: the rest of a refused upload is read and dropped. Pure ASGI.

A server that closes a connection while its client still sends makes the client's system report a broken pipe, and many
clients then never look at the response that says why. The response leaves first, and the rest of the body is read for
a bounded time, as nginx does (`lingering_close`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, ReceiveMessage, Scope, Send

from server.drain import Drain

__all__ = ["UnreadBodyMiddleware"]

_TOTAL = 10.0
_IDLE = 2.0
"""Seconds that the rest of a body may take, and seconds between two pieces of it."""


class UnreadBodyMiddleware:
    """Lets a client that sends its whole body before it reads see the response to a request that was refused early.

    A client that sent `Expect: 100-continue` sends no body after a final response, so that nothing is read. A server
    that ends does not wait for the rest once the grace period is over.
    """

    def __init__(self, app: ASGIApp, *, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not _sends_body(scope):
            await self._app(scope, receive, send)
            return
        unread, complete = True, False

        async def receive_and_note() -> ReceiveMessage:
            nonlocal unread
            message = await receive()
            unread = message["type"] == "http.request" and message["more_body"]
            return message

        def send_and_note(message: Message) -> Awaitable[None]:
            nonlocal complete
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            return send(message)

        try:
            await self._app(scope, receive_and_note, send_and_note)
            if complete and unread:
                with contextlib.suppress(TimeoutError):
                    async with self._lingering() as still:
                        while unread and still():
                            async with asyncio.timeout(_IDLE):  # wait_for can lose the end of the time around it
                                await receive_and_note()
        finally:
            # A request keeps its failure, whose traceback keeps the request, until cycles are collected. Granian closes
            # the connection of a body that was not read when nothing keeps these two.
            receive, send = _receive_nothing, _send_nowhere

    @contextlib.asynccontextmanager
    async def _lingering(self) -> AsyncIterator[Callable[[], bool]]:
        """Bound the block to the time that the rest of a body may take. The value tells whether there is time left.

        The block has to ask before each wait: granian can lose a cancellation in the moment in which it delivers.

        Raises:
            TimeoutError: the time is over, or the server's grace period is.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + _TOTAL
        async with asyncio.timeout_at(end) as scope:
            unregister = self._drain.when_expired(lambda: scope.reschedule(loop.time()))
            try:
                yield lambda: not self._drain.expired and loop.time() < end
            finally:
                unregister()


async def _receive_nothing() -> ReceiveMessage:
    return {"type": "http.disconnect"}


async def _send_nowhere(_: Message) -> None: ...


def _sends_body(scope: HTTPScope) -> bool:
    headers = dict(scope["headers"])
    if b"expect" in headers:
        return False
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
