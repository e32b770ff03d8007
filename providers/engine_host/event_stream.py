"""One request's events, between the engine's socket and the reader of its output."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Self, TypeVar

import msgspec

from providers.chat.types import Accepted, Finished, GenerationEvent, ReasoningDelta, TextDelta, ToolCallDelta
from providers.errors import ServiceError
from providers.events import Event

__all__ = ["Mailbox", "TextMailbox"]

E = TypeVar("E", bound=Event)

_Delta = TextDelta | ReasoningDelta | ToolCallDelta


class Mailbox(Generic[E]):
    """One request's events, in order, for one reader.

    It is bounded by the length of the output, so that neither the engine nor another request waits for a slow reader.
    """

    def __init__(self, on_close: Callable[[bool], None], answers: int = 1) -> None:
        """`answers`: how many outputs the request has, each of which ends with an event that `ends`.

        `close` calls `on_close` once, with whether the engine still works on the request.
        """
        self._unfinished = answers
        self._on_close = on_close
        self._arrived: list[E] = []
        """Events since the last ones that were read."""
        self._events: deque[E] = deque()
        """Events to read before those."""
        self._error: ServiceError | None = None
        self._closed = False
        self._reader: asyncio.Future[None] | None = None
        self.ended = False

    def put(self, event: E) -> None:
        """Append an event. Does nothing once the request has ended."""
        if self.ended:
            return
        self._arrived.append(event)
        if event.ends:
            self._unfinished -= 1
            self.ended = self._unfinished == 0
        self._wake()

    def fail(self, error: ServiceError) -> None:
        """End the request with an error, which the reader gets after the events that came before it."""
        if not self.ended:
            self.ended = True
            self._error = error
            self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """The next event, immediately if there is one.

        Raises:
            ServiceError: the request failed.
        """
        while not self._arrived and not self._events:
            if self._error is not None:
                raise self._error
            if self.ended:
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if not self._events:
            arrived, self._arrived = self._arrived, []
            if len(arrived) == 1:
                return arrived[0]
            self._events.extend(self._merged(arrived))
        return self._events.popleft()

    async def aclose(self) -> None:
        """As `close`, for a reader of generators."""
        self.close()

    def close(self) -> None:
        """Stop reading. Idempotent."""
        if not self._closed:
            self._closed = True
            unfinished, self.ended = not self.ended, True
            self._on_close(unfinished)

    def _merged(self, events: Sequence[E]) -> Iterable[E]:
        """Several events that waited, as the reader gets them."""
        return events

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class TextMailbox(Mailbox[GenerationEvent]):
    """A mailbox that merges deltas of the same kind that wait, so that a slow reader gets fewer, longer ones.

    Events of one output keep their order. Events of different outputs of a request may change places.
    """

    def _merged(self, events: Sequence[GenerationEvent]) -> Iterator[GenerationEvent]:
        runs: dict[int, list[_Delta]] = {}  # by output: the deltas that the next one may continue
        for event in events:
            if isinstance(event, Accepted):
                yield event
                continue
            run = runs.get(event.index)
            if run is not None and not isinstance(event, Finished) and _continues(run[-1], event):
                run.append(event)
                continue
            if run is not None:
                yield _one(runs.pop(event.index))
            if isinstance(event, Finished):
                yield event
            else:
                runs[event.index] = [event]
        yield from map(_one, runs.values())


def _continues(before: _Delta, after: _Delta) -> bool:
    if isinstance(before, ToolCallDelta) and isinstance(after, ToolCallDelta):
        # The delta that opens a call stays separate: its reader expects a name and no arguments.
        return before.call == after.call and before.name is None and after.name is None
    return type(before) is type(after)


def _one(run: list[_Delta]) -> _Delta:
    first = run[0]
    if len(run) == 1:
        return first
    tokens = sum(delta.tokens for delta in run)
    if isinstance(first, ToolCallDelta):
        arguments = "".join(delta.arguments for delta in run if isinstance(delta, ToolCallDelta))
        return msgspec.structs.replace(first, arguments=arguments, tokens=tokens)
    text = "".join(delta.text for delta in run if not isinstance(delta, ToolCallDelta))
    if isinstance(first, ReasoningDelta):
        return msgspec.structs.replace(first, text=text, tokens=tokens)
    known = [delta.logprobs for delta in run if isinstance(delta, TextDelta) and delta.logprobs is not None]
    logprobs = [token for tokens_of_delta in known for token in tokens_of_delta] if known else None
    return TextDelta(text, tokens, first.index, logprobs)
