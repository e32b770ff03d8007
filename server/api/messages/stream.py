"""A message as a stream: `event:` and `data:` lines in Anthropic's order, and no `[DONE]`."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.messages.blocks import OutputBlock, TextBlock, ThinkingBlock, ToolUseBlock
from contracts.messages.response import (
    ContentBlockDeltaEvent,
    ContentBlockStartEvent,
    ContentBlockStopEvent,
    InputJsonDelta,
    MessageDelta,
    MessageDeltaEvent,
    MessageStartEvent,
    MessageStopEvent,
    MessageStreamEvent,
    PingEvent,
    SignatureDelta,
    TextBlockDelta,
    ThinkingDelta,
)
from providers.chat.types import Accepted, Finished, GenerationEvent, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from providers.errors import InternalError, ServiceError
from server.api.generation.parameters import note_given_up
from server.api.messages.errors import error_body
from server.api.messages.response import MessageHeader, messages_usage, stopped
from server.streaming.sse import named_message

__all__ = ["MessageStreamEncoder"]

Delta = TextDelta | ReasoningDelta | ToolCallDelta


class MessageStreamEncoder:
    """Writes the events of one message. One content block is open at a time; a delta of another kind closes it."""

    def __init__(self, header: MessageHeader) -> None:
        self._header = header
        self._open: Delta | None = None
        """The delta that began the open block."""
        self._index = -1

    def encode(self, events: Sequence[GenerationEvent]) -> bytes:
        """The events of these events."""
        return b"".join(named_message(written.type, written) for event in events for written in self._events(event))

    def finish(self) -> bytes:
        """`message_stop` was the last event."""
        return b""

    def failure(self, error: ServiceError) -> bytes:
        return named_message("error", error_body(error, self._header.request_id))

    def close(self) -> None: ...

    def _events(self, event: GenerationEvent) -> list[MessageStreamEvent]:
        if isinstance(event, Accepted):
            note_given_up(event)
            usage = messages_usage(Usage(event.prompt_tokens, 0, event.cached_tokens))
            return [MessageStartEvent(message=self._header.message(content=[], usage=usage)), PingEvent()]
        if isinstance(event, Finished):
            delta = MessageDelta(**stopped(event.finish_reason, event.stop))
            end = MessageDeltaEvent(delta=delta, usage=messages_usage(event.usage))
            return [*self._close(), end, MessageStopEvent()]
        return [*self._place(event), *self._delta(event)]

    def _place(self, delta: Delta) -> list[MessageStreamEvent]:
        """Make the delta's block the open one."""
        if self._fits(delta):
            return []
        closing = self._close()
        self._open = delta
        self._index += 1
        return [*closing, ContentBlockStartEvent(index=self._index, content_block=_empty_block(delta))]

    def _fits(self, delta: Delta) -> bool:
        if isinstance(self._open, ToolCallDelta) and isinstance(delta, ToolCallDelta):
            return delta.call == self._open.call
        return type(delta) is type(self._open) or not (isinstance(delta, ToolCallDelta) or delta.text)

    def _delta(self, delta: Delta) -> list[MessageStreamEvent]:
        if isinstance(delta, ToolCallDelta):
            change: InputJsonDelta | TextBlockDelta | ThinkingDelta = InputJsonDelta(partial_json=delta.arguments)
        elif isinstance(delta, ReasoningDelta):
            change = ThinkingDelta(thinking=delta.text)
        else:
            change = TextBlockDelta(text=delta.text)
        empty = not (delta.arguments if isinstance(delta, ToolCallDelta) else delta.text)
        return [] if empty else [ContentBlockDeltaEvent(index=self._index, delta=change)]

    def _close(self) -> list[MessageStreamEvent]:
        if self._open is None:
            return []
        closing: list[MessageStreamEvent] = [ContentBlockStopEvent(index=self._index)]
        if isinstance(self._open, ReasoningDelta):
            signature = SignatureDelta(signature=self._header.signature)
            closing.insert(0, ContentBlockDeltaEvent(index=self._index, delta=signature))
        self._open = None
        return closing


def _empty_block(delta: Delta) -> OutputBlock:
    if isinstance(delta, TextDelta):
        return TextBlock(text="")
    if isinstance(delta, ReasoningDelta):
        return ThinkingBlock(type="thinking", thinking="")
    if delta.id is None or delta.name is None:
        raise InternalError(f"function call {delta.call} continued without a beginning")
    return ToolUseBlock(type="tool_use", id=delta.id, name=delta.name, input={})
