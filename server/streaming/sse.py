"""Server-sent events: the events of one request, streamed to one client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Protocol, TypeVar

from litestar.types import Receive, Scope, Send

from providers.errors import InternalError, ModelNotReady, ServiceError
from providers.events import Event
from server.disconnect import Interrupt, answering
from server.drain import Drain
from server.errors import DISCONNECTED, ClientDisconnected, as_service_error, note_failure, to_wire
from server.middleware.waiting import begin
from server.serialization import encode_contract
from server.streaming.unsent import Unsent

__all__ = ["Ending", "EventEncoder", "EventSource", "EventStream", "data_message", "named_message"]

E = TypeVar("E", bound=Event)
E_contra = TypeVar("E_contra", bound=Event, contravariant=True)

EventSource = AbstractAsyncContextManager[AsyncIterator[E]]
"""A context such as `contextlib.aclosing` makes: leaving it closes the provider's generator."""

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n"
"""One newline: after a blank line some parsers dispatch an event, and fail to read it."""
_LINE_BREAKS = {b"\xe2\x80\xa8": b"\\u2028", b"\xe2\x80\xa9": b"\\u2029", b"\xc2\x85": b"\\u0085"}
"""Characters at which some parsers break lines, as JSON's escapes."""
MAX_PENDING = 256
"""Events that wait as such for a slow client. Then they become bytes, of which a bounded number waits."""
LAST_WORD_SECONDS = 0.5
"""Time after the grace period for which a client that does not read may delay the shutdown."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # otherwise nginx buffers tokens
]


def data_message(contract: Any) -> bytes:
    """A contract as an event without a name."""
    return b"data: " + encode_contract(contract) + b"\n\n"


def named_message(name: str, contract: Any) -> bytes:
    """A contract as an event of this name."""
    return b"event: " + name.encode() + b"\n" + data_message(contract)


class EventEncoder(Protocol[E_contra]):
    """Writes events as a resource's chunks."""

    def encode(self, events: Sequence[E_contra]) -> bytes:
        """Complete SSE messages, blank lines included. May join neighbouring pieces of text."""


class Ending(Protocol):
    """How a resource ends its streams."""

    def finish(self) -> bytes:
        """The bytes that follow the last event."""

    def failure(self, error: ServiceError) -> bytes:
        """The bytes that end a stream that failed after its headers."""

    def close(self) -> None:
        """Clean up. Called once, last, however the stream ended."""


class _Done:
    """Ends with an error event where there is an error, and `[DONE]`."""

    def finish(self) -> bytes:
        return DONE

    def failure(self, error: ServiceError) -> bytes:
        return data_message(to_wire(error)) + DONE

    def close(self) -> None: ...


class EventStream(Generic[E]):
    """An ASGI application that streams a request's answers, until `answers` of them have ended.

    * Nothing is sent before the first event, so a refusal raises and keeps its status. When the first event takes
      longer than `heartbeat_interval` seconds, headers go out. From then on a comment follows every interval without
      an event.
    * A failure after the headers is an event, followed by `[DONE]` unless the resource has an `ending` of its own.
    * When the client goes away or the server stops, the source is closed immediately.

    Most messages are sent by a callback of the event loop, in the same pass in which the reader got their events: to
    wake the request's task, which waits below every layer of the application, takes as long as to write and send a
    token. That task sends the rest of what the client does not take immediately, heartbeats, and the end.
    """

    def __init__(
        self,
        source: EventSource[E],
        encoder: EventEncoder[E],
        *,
        heartbeat_interval: float,
        drain: Drain,
        answers: int = 1,
        ending: Ending | None = None,
    ) -> None:
        self._source = source
        self._encoder = encoder
        self._ending = ending or _Done()
        self._interval = heartbeat_interval
        self._drain = drain
        self._unfinished = answers
        self._pending: list[E] = []
        self._unsent = Unsent()
        self._wake = asyncio.Event()
        self._started = False
        self._scheduled = False
        """Whether `_pass_on` is about to be called."""
        self._busy = False
        """Whether the request's task sends, or is about to, or has ended: `_pass_on` leaves all to it."""
        self._rest: Awaitable[None] | None = None
        """What is left of a message that the client did not take immediately."""
        self._error: Exception | None = None
        """Why `_pass_on` could not send."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream to the end.

        Raises:
            ServiceError: the answer was refused before anything was sent.
            ClientDisconnected: the client went away before anything was sent.
        """
        self._send_message = send
        self._heartbeat = _Heartbeat(self._interval, self._wake)
        reader = asyncio.create_task(self._read())
        reader.add_done_callback(lambda _: self._wake.set())
        try:
            async with answering(receive, self._drain, on_expired=self._expire):
                failure = await self._deliver(reader)
            if failure is not None:
                note_failure(scope, failure)
        except ClientDisconnected:
            if not self._started:
                raise
            scope["state"][DISCONNECTED] = True
        finally:
            self._busy = True
            self._heartbeat.stop()
            if not reader.done():
                reader.cancel()
                await asyncio.wait({reader})
            if not reader.cancelled():
                reader.exception()  # the stream has reported it, or its client is gone
            self._ending.close()

    async def _read(self) -> None:
        """Read ahead, so that the engine need not wait for a slow client, whose events leave as one message."""
        call_soon = asyncio.get_running_loop().call_soon
        async with self._source as events:
            async for event in events:
                self._pending.append(event)
                if event.ends:
                    self._unfinished -= 1
                    if not self._unfinished:
                        self._wake.set()
                        return
                if not self._scheduled:
                    self._scheduled = True
                    call_soon(self._pass_on)
                if event.heavy or len(self._pending) >= MAX_PENDING:
                    self._unsent.add(self._encoded())
                    await self._unsent.room()

    def _pass_on(self) -> None:
        """Send what waits, as far as that goes without waiting for the client."""
        self._scheduled = False
        if self._busy or not self._unfinished:
            self._wake.set()
            return
        self._busy = True
        try:
            body = self._take()
            self._rest = begin(self._send(body)) if body else None
        except Exception as error:  # the provider's events make no sense
            self._error = error
        if self._rest is None and self._error is None:
            self._busy = False
        else:
            self._wake.set()

    def _expire(self, interrupt: Interrupt) -> None:
        """End the stream with an error, and interrupt it where the client does not read that."""
        self._wake.set()
        asyncio.get_running_loop().call_later(LAST_WORD_SECONDS, interrupt, ClientDisconnected())

    async def _deliver(self, reader: asyncio.Task[None]) -> ServiceError | None:
        """Send what `_pass_on` does not. Returns the failure that ended the stream, if any."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            expired = self._drain.expired
            self._busy = True
            if self._rest is not None:
                await self._rest
                self._rest = None
            while self._pending or self._unsent:
                last = not self._unfinished
                try:
                    body = self._take()
                except Exception as error:
                    return await self._fail(error)
                if last:
                    await self._send(body + self._ending.finish(), more=False)
                    return None
                if body:
                    await self._send(body)
            if self._error is not None:
                return await self._fail(self._error)
            if expired or reader.done():
                return await self._fail(self._failure(reader))
            if self._heartbeat.due:
                await self._send(KEEP_ALIVE)
            self._busy = False

    def _take(self) -> bytes:
        """All that waits, as bytes."""
        body = self._encoded()
        return self._unsent.take() + body if self._unsent else body

    def _encoded(self) -> bytes:
        """The pending events as bytes."""
        events, self._pending = self._pending, []
        return _on_one_line(self._encoder.encode(events)) if events else b""

    def _failure(self, reader: asyncio.Task[None]) -> BaseException:
        if not reader.done():
            return ModelNotReady.shutting_down()
        if reader.cancelled():
            return InternalError("the answer was cancelled inside the server")
        return reader.exception() or InternalError.truncated("answer")

    async def _fail(self, error: BaseException) -> ServiceError:
        """Raise the failure while its status can still be sent; later, send it as an event."""
        if not self._started:
            raise error
        known = as_service_error(error)
        await self._send(self._ending.failure(known), more=False)
        return known

    async def _send(self, body: bytes, *, more: bool = True) -> None:
        if not self._started:
            self._started = True
            await self._send_message({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        await self._send_message({"type": "http.response.body", "body": body, "more_body": more})
        self._heartbeat.beat()


def _on_one_line(body: bytes) -> bytes:
    """The events, whose JSON has no character that a parser could take for a line break."""
    if not body.isascii():
        for character, escape in _LINE_BREAKS.items():
            body = body.replace(character, escape)
    return body


class _Heartbeat:
    """Wakes a sender that has sent nothing for an interval. One timer per stream; most events do not touch it."""

    def __init__(self, interval: float, wake: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval = interval
        self._wake = wake
        self._last = self._loop.time()
        self._timer = self._loop.call_later(interval, self._tick)
        self.due = False

    def beat(self) -> None:
        """Note that something was sent."""
        self._last = self._loop.time()
        self.due = False

    def _tick(self) -> None:
        left = self._last + self._interval - self._loop.time()
        if left <= 0:
            self.due = True
            self._wake.set()
        self._timer = self._loop.call_later(left if left > 0 else self._interval, self._tick)

    def stop(self) -> None:
        self._timer.cancel()
