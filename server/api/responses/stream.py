"""A response as a stream: `event:` and `data:` lines in OpenAI's order, and no `[DONE]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from contracts.responses.events import ResponseErrorEvent, ResponseLifecycleEvent, ResponseStreamEvent
from contracts.responses.response import Response
from providers.chat.types import Accepted, Finished, ReasoningDelta, TextDelta, ToolCallDelta
from providers.errors import ServiceError
from server.api.generation.parameters import note_given_up
from server.api.responses.hosted.image_generation import PaintedEvent, PaintingEvent
from server.api.responses.items import Delta, OpenItem, delta_event, delta_text
from server.api.responses.response import ResponseDraft
from server.streaming.sse import named_message

__all__ = ["ResponseStreamEncoder", "event_bytes"]

_encode_text = msgspec.json.Encoder().encode
_EMPTY = b'"delta":""'


class ResponseStreamEncoder:
    """Writes the events of one response, and passes the ended response on.

    `on_end` receives the response once, when it is complete, incomplete, failed or cancelled. This happens before the
    client learns of the end, so a stored response is there when the client fetches it. `on_end` is not called for a
    response that was never accepted.
    """

    def __init__(self, draft: ResponseDraft, on_end: Callable[[Response], None]) -> None:
        self._draft = draft
        self._on_end = on_end
        self._accepted = False
        self._ended = False
        self._template: tuple[OpenItem, bytes, bytes] | None = None

    def encode(self, events: Sequence[PaintingEvent]) -> bytes:
        """The events on the wire; neighbouring pieces of one text become one."""
        written: list[bytes] = []
        for event in events if len(events) == 1 else _joined(events):
            if isinstance(event, Accepted):
                note_given_up(event)
                self._accepted = True
                written.extend(
                    self._lifecycle(type_, self._draft.created)
                    for type_ in ("response.created", "response.in_progress")
                )
                written.extend(map(event_bytes, self._draft.accepted()))
            elif isinstance(event, Finished):
                written.append(self._finish(event))
            elif isinstance(event, PaintedEvent):
                written.extend(map(event_bytes, self._draft.painted(event)))
            else:
                written.append(self._delta(event))
        return b"".join(written)

    def finish(self) -> bytes:
        """Nothing: the last event is `response.completed` or `response.incomplete`."""
        return b""

    def failure(self, error: ServiceError) -> bytes:
        """The end of a failed stream: `response.failed`, or `error` where the response was never created."""
        if not self._accepted:
            return event_bytes(
                ResponseErrorEvent(
                    code=error.code,
                    message=error.message,
                    param=error.param,
                    sequence_number=self._draft.output.number(),
                )
            )
        response = self._draft.failed(error)
        self._end(response)
        return self._lifecycle("response.failed", response)

    def close(self) -> None:
        """Pass the response on as cancelled, if it has not ended."""
        if self._accepted and not self._ended:
            self._end(self._draft.cancelled())

    def _finish(self, event: Finished) -> bytes:
        last = b"".join(event_bytes(closing) for closing in self._draft.output.finish(event.finish_reason))
        response = self._draft.finished(event)
        self._end(response)
        return last + self._lifecycle(f"response.{response.status}", response)

    def _end(self, response: Response) -> None:
        self._ended = True
        self._on_end(response)

    def _lifecycle(self, type_: str, response: Response) -> bytes:
        number = self._draft.output.number()
        return event_bytes(ResponseLifecycleEvent(type=type_, response=response, sequence_number=number))  # type: ignore[arg-type]

    def _delta(self, delta: Delta) -> bytes:
        """The events of a delta. Most deltas add to the open item: the hottest path, with almost constant bytes."""
        output = self._draft.output
        text = delta_text(delta)
        if not text or (isinstance(delta, TextDelta) and delta.logprobs is not None):
            return b"".join(map(event_bytes, output.add(delta)))
        opening = b"" if output.fits(delta) else b"".join(map(event_bytes, output.place(delta)))
        opened = output.append(delta)
        if self._template is None or self._template[0] is not opened:
            self._template = (opened, *_template(delta, opened))
        _, before, after = self._template
        written = b"%b%b%b%b%d}\n\n" % (opening, before, _encode_text(text), after, output.number())
        return b"".join([written, *map(event_bytes, output.cited())]) if opened.citations else written


def _joined(events: Sequence[PaintingEvent]) -> list[PaintingEvent]:
    """The same events; neighbouring pieces of text, of reasoning, or of the arguments of one call are joined."""
    joined: list[PaintingEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            logprobs = [*(last.logprobs or []), *(event.logprobs or [])] or None
            joined[-1] = TextDelta(last.text + event.text, logprobs=logprobs)
        elif isinstance(event, ReasoningDelta) and isinstance(last, ReasoningDelta):
            joined[-1] = ReasoningDelta(last.text + event.text)
        elif isinstance(event, ToolCallDelta) and isinstance(last, ToolCallDelta) and event.call == last.call:
            joined[-1] = ToolCallDelta(event.call, last.arguments + event.arguments, last.id, last.name)
        else:
            joined.append(event)
    return joined


def _template(delta: Delta, opened: OpenItem) -> tuple[bytes, bytes]:
    """The constant bytes in the events of an item's deltas: before the text, and between the text and the number."""
    empty = (
        ToolCallDelta(0) if isinstance(delta, ToolCallDelta) else type(delta)("")  # a delta without content
    )
    before, _, after = event_bytes(delta_event(empty, opened, 0)).partition(_EMPTY)
    return before + _EMPTY.removesuffix(b'""'), after.removesuffix(b"0}\n\n")


def event_bytes(event: ResponseStreamEvent) -> bytes:
    return named_message(event.type, event)
