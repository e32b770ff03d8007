"""One answer's events, between the engine's socket and whoever reads the answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from providers.errors import ServiceError
from providers.generation import Finished, GenerationEvent, TextDelta

__all__ = ["EventStream"]


class EventStream:
    """A mailbox with one reader, bounded by the answer's length.

    Text that waits is one event however many steps made it, so a slow reader gets fewer and longer deltas, and
    neither the engine nor another request ever waits for it.
    """

    def __init__(self, on_close: Callable[[bool], None]) -> None:
        """`on_close` is called once, by `close`, with whether the engine still works on the answer."""
        self._on_close = on_close
        self._events: deque[GenerationEvent] = deque()
        self._text: list[str] = []
        self._tokens = 0
        self._error: ServiceError | None = None
        self._ended = False
        self._closed = False
        self._reader: asyncio.Future[None] | None = None

    def put(self, event: GenerationEvent) -> None:
        """Append an event; nothing, once the answer has ended."""
        if self._ended:
            return
        if isinstance(event, TextDelta):
            self._text.append(event.text)
            self._tokens += event.tokens
        else:
            if self._text:
                self._events.append(self._take_text())
            self._events.append(event)
            self._ended = isinstance(event, Finished)
        self._wake()

    def fail(self, error: ServiceError) -> None:
        """End the answer with an error, which is raised after the events that came before it."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._wake()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> GenerationEvent:
        """The next event, at once where there is one.

        Raises:
            ServiceError: the answer failed.
        """
        while True:
            if self._events:
                return self._events.popleft()
            if self._text:
                return self._take_text()
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def close(self) -> None:
        """Say that nobody reads any more. Idempotent."""
        if not self._closed:
            self._closed = True
            unfinished, self._ended = not self._ended, True
            self._on_close(unfinished)

    def _take_text(self) -> TextDelta:
        delta = TextDelta("".join(self._text), self._tokens)
        self._text.clear()
        self._tokens = 0
        return delta

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
