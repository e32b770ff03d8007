"""Clients that send or read slowly, or stop: bounds for what they hold. Pure ASGI.

- A body has to arrive within a time that grows with what arrived of it.
- All large bodies together have a bounded size.
- A client that takes nothing of its response for a time loses its connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import attrs
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPScope, Message, Receive, ReceiveMessage, Scope, Send

from providers.errors import ModelNotReady, QueueFull
from server.drain import Drain
from server.errors import ClientDisconnected
from server.middleware.waiting import ENDED, begin

__all__ = ["Limits", "RequestTimeout", "SlowClientsMiddleware"]

SMALL = 32_768
"""Bytes of a body that is not counted: requests of usual size are answered beside the largest ones."""
PIECE = 65_536
"""Bytes of a stream that are handed to the server together. A client makes progress when it has room for the next."""


class RequestTimeout(HTTPException):
    """The body arrived too slowly."""

    status_code = 408


@attrs.frozen(kw_only=True)
class Limits:
    """What a client may take. Times are seconds, sizes bytes."""

    body_timeout: float
    """Time that a body may take, besides what `body_min_rate` adds."""
    body_min_rate: int
    """Bytes that prolong the time of a body by a second."""
    max_body_total: int
    """Bodies of all requests together, each until its request ends. Small bodies are not counted."""
    write_timeout: float
    """Time in which a client takes nothing of its response."""


class SlowClientsMiddleware:
    """Holds all clients to `limits`. It wraps the layer that turns errors into responses."""

    def __init__(self, app: ASGIApp, *, limits: Limits, drain: Drain) -> None:
        self._app = app
        self._limits = limits
        self._drain = drain
        self._bodies = _Bodies(limits.max_body_total)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        incoming = _Incoming(_declared(scope), receive, self._limits, self._drain, self._bodies)
        outgoing = _Outgoing(send, self._limits.write_timeout)
        try:
            await self._app(scope, incoming.receive, outgoing.send)
        finally:
            incoming.release()


class _Bodies:
    """Size of all large bodies that requests hold."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def check(self, more: int, own: int = 0) -> None:
        """Raise `QueueFull` if `more` bytes of a body that holds `own` have no room. One body always has room."""
        if self._held > own and self._held + more > self._most:
            raise QueueFull(
                f"request bodies in flight take {self._held:,} bytes; --max-body-total limits them to {self._most:,}"
            )

    def hold(self, count: int) -> None:
        self._held += count

    def release(self, count: int) -> None:
        self._held -= count


class _Incoming:
    """One request's body."""

    def __init__(self, declared: int, receive: Receive, limits: Limits, drain: Drain, bodies: _Bodies) -> None:
        self._declared = declared
        self._receive_next = receive
        self._limits = limits
        self._drain = drain
        self._bodies = bodies
        self._complete = False
        self._begun = False
        self._received = self._held = 0
        self._waited = 0.0

    async def receive(self) -> ReceiveMessage:
        """The next message, which is a piece of the body within the limits.

        Raises:
            RequestTimeout: the body takes too long.
            QueueFull: there is no room for the body.
            ModelNotReady: the server ends, and does not wait for the rest.
        """
        if self._complete:
            return await self._receive_next()
        if not self._begun:
            self._begun = True
            if self._declared > SMALL:
                self._bodies.check(self._declared)
        message = await self._in_time()
        if message["type"] == "http.request":
            self._received += len(message["body"])
            self._complete = not message.get("more_body", False)
            self._count()
        else:
            self._complete = True
        return message

    def release(self) -> None:
        """Forget the body. Called when the request has ended."""
        self._bodies.release(self._held)

    def _count(self) -> None:
        if self._received > SMALL:
            more = self._received - self._held
            self._bodies.check(more, self._held)
            self._bodies.hold(more)
            self._held += more

    async def _in_time(self) -> ReceiveMessage:
        """The next message. Only the time spent waiting for the client counts."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        left = self._limits.body_timeout + self._received / self._limits.body_min_rate - self._waited
        scope = asyncio.timeout(left)
        unregister = self._drain.when_expired(lambda: scope.reschedule(loop.time()))
        try:
            async with scope:
                return await self._receive_next()
        except TimeoutError:
            if self._drain.expired:
                raise ModelNotReady.shutting_down() from None
            raise RequestTimeout(
                f"the request body did not arrive in time: {self._received:,} bytes in {left + self._waited:.0f} "
                "seconds; --body-timeout and --body-min-rate set the time",
                headers={"connection": "close"},
            ) from None
        finally:
            unregister()
            self._waited += loop.time() - begun


class _Outgoing:
    """One response."""

    def __init__(self, send: Send, timeout: float) -> None:
        self._send_next = send
        self._timeout = timeout

    def send(self, message: Message) -> Awaitable[None]:
        """Send the message, a long piece of a stream in parts.

        Raises:
            ClientDisconnected: the client takes nothing.
        """
        if message["type"] == "http.response.body" and message.get("more_body") and len(message["body"]) > PIECE:
            return self._in_parts(message)
        rest = begin(self._send_next(message))
        return ENDED if rest is None else self._in_time(rest)

    async def _in_parts(self, message: HTTPResponseBodyEvent) -> None:
        body = message["body"]
        for start in range(0, len(body), PIECE):
            await self.send({**message, "body": body[start : start + PIECE]})

    async def _in_time(self, rest: Awaitable[None]) -> None:
        # A task of its own: `asyncio.timeout` would cancel the task that began to send, and another one may wait here.
        sending = asyncio.ensure_future(rest)
        try:
            done, _ = await asyncio.wait({sending}, timeout=self._timeout)
        finally:
            sending.cancel()
        if not done:
            raise ClientDisconnected
        await sending


def _declared(scope: HTTPScope) -> int:
    """Bytes of the body by its header; 0 if it has none."""
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length) if length.isdigit() else 0
