"""One request's events, between the engine's socket and whoever reads the answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from providers.errors import ServiceError
from providers.generation import Accepted, Finished, GenerationEvent, ReasoningDelta, TextDelta, ToolCallDelta

__all__ = ["EventStream"]

_Delta = TextDelta | ReasoningDelta | ToolCallDelta


class EventStream:
    """A mailbox with one reader, bounded by the length of the answers.

    Deltas that wait and continue each other are one event however many steps made them, so a slow reader gets fewer
    and longer ones, and neither the engine nor another request ever waits for it. Events of one answer keep their
    order; events of different answers of a request may change places.
    """

    def __init__(self, answers: int, on_close: Callable[[bool], None]) -> None:
        """`answers` many `Finished` are the end. `close` calls `on_close` once, with whether the engine still works."""
        self._unfinished = answers
        self._on_close = on_close
        self._events: deque[GenerationEvent] = deque()
        self._runs: dict[int, list[_Delta]] = {}
        """By answer: the deltas after its last event in `_events`, all continuing the first."""
        self._error: ServiceError | None = None
        self._closed = False
        self._reader: asyncio.Future[None] | None = None
        self.ended = False

    def put(self, event: GenerationEvent) -> None:
        """Append an event; nothing, once the answers have ended."""
        if self.ended:
            return
        if isinstance(event, Accepted):
            self._events.append(event)
        elif isinstance(event, Finished):
            self._flush(event.index)
            self._events.append(event)
            self._unfinished -= 1
            self.ended = self._unfinished == 0
        else:
            run = self._runs.get(event.index)
            if run is not None and _continues(run[-1], event):
                run.append(event)
            else:
                self._flush(event.index)
                self._runs[event.index] = [event]
        self._wake()

    def fail(self, error: ServiceError) -> None:
        """End the answers with an error, which is raised after the events that came before it."""
        if not self.ended:
            self.ended = True
            self._error = error
            self._wake()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> GenerationEvent:
        """The next event, at once where there is one.

        Raises:
            ServiceError: the answers failed.
        """
        while True:
            if self._events:
                return self._events.popleft()
            if self._runs:
                return _merged(self._runs.pop(next(iter(self._runs))))
            if self._error is not None:
                raise self._error
            if self.ended:
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
            unfinished, self.ended = not self.ended, True
            self._on_close(unfinished)

    def _flush(self, index: int) -> None:
        run = self._runs.pop(index, None)
        if run is not None:
            self._events.append(_merged(run))

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _continues(before: _Delta, after: _Delta) -> bool:
    if isinstance(before, ToolCallDelta) and isinstance(after, ToolCallDelta):
        # The delta that opens a call stays alone: its reader expects a name and no arguments.
        return before.call == after.call and before.name is None and after.name is None
    return type(before) is type(after)


def _merged(run: list[_Delta]) -> _Delta:
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
    told = [delta.logprobs for delta in run if isinstance(delta, TextDelta) and delta.logprobs is not None]
    logprobs = [token for tokens_of_delta in told for token in tokens_of_delta] if told else None
    return TextDelta(text, tokens, first.index, logprobs)
