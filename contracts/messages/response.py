"""The response of Anthropic's Messages API, its events when streamed, and its errors."""

from __future__ import annotations

from typing import Literal

import attrs

from contracts._fields import EXPLICIT_NULL, JsonObject
from contracts.messages.blocks import OutputBlock

__all__ = [
    "ContentBlockDeltaEvent",
    "ContentBlockStartEvent",
    "ContentBlockStopEvent",
    "InputJsonDelta",
    "Message",
    "MessageDelta",
    "MessageDeltaEvent",
    "MessageStartEvent",
    "MessageStopEvent",
    "MessageStreamEvent",
    "MessageTokensCount",
    "MessagesError",
    "MessagesErrorResponse",
    "MessagesUsage",
    "PingEvent",
    "SignatureDelta",
    "StopReason",
    "TextBlockDelta",
    "ThinkingDelta",
]

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


@attrs.frozen(kw_only=True)
class MessagesUsage:
    """Token counts. `input_tokens` excludes those read from the prefix cache."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


@attrs.frozen(kw_only=True)
class Message:
    """A turn of the assistant."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[OutputBlock]
    stop_reason: StopReason | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    stop_sequence: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    usage: MessagesUsage
    request_id: str | None = None


@attrs.frozen(kw_only=True)
class MessageTokensCount:
    """How many tokens a conversation has, its tools included."""

    input_tokens: int


@attrs.frozen(kw_only=True)
class MessageStartEvent:
    """The message, still without content."""

    type: Literal["message_start"] = "message_start"
    message: Message


@attrs.frozen(kw_only=True)
class ContentBlockStartEvent:
    """A block begins."""

    type: Literal["content_block_start"] = "content_block_start"
    index: int
    content_block: OutputBlock


@attrs.frozen(kw_only=True)
class TextBlockDelta:
    """Text to append."""

    type: Literal["text_delta"] = "text_delta"
    text: str


@attrs.frozen(kw_only=True)
class ThinkingDelta:
    """Reasoning to append."""

    type: Literal["thinking_delta"] = "thinking_delta"
    thinking: str


@attrs.frozen(kw_only=True)
class SignatureDelta:
    """The signature of a thinking block, just before its end."""

    type: Literal["signature_delta"] = "signature_delta"
    signature: str


@attrs.frozen(kw_only=True)
class InputJsonDelta:
    """JSON text to append to a call's input."""

    type: Literal["input_json_delta"] = "input_json_delta"
    partial_json: str


@attrs.frozen(kw_only=True)
class ContentBlockDeltaEvent:
    """Part of the block of this index."""

    type: Literal["content_block_delta"] = "content_block_delta"
    index: int
    delta: TextBlockDelta | ThinkingDelta | SignatureDelta | InputJsonDelta


@attrs.frozen(kw_only=True)
class ContentBlockStopEvent:
    """The block of this index is complete."""

    type: Literal["content_block_stop"] = "content_block_stop"
    index: int


@attrs.frozen(kw_only=True)
class MessageDelta:
    """Why the message ended."""

    stop_reason: StopReason
    stop_sequence: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)


@attrs.frozen(kw_only=True)
class MessageDeltaEvent:
    """The message's end, and its final token counts."""

    type: Literal["message_delta"] = "message_delta"
    delta: MessageDelta
    usage: MessagesUsage


@attrs.frozen(kw_only=True)
class MessageStopEvent:
    """The last event."""

    type: Literal["message_stop"] = "message_stop"


@attrs.frozen(kw_only=True)
class PingEvent:
    """Carries nothing."""

    type: Literal["ping"] = "ping"


@attrs.frozen(kw_only=True)
class MessagesError:
    """What went wrong, by Anthropic's type names."""

    type: str
    message: str
    param: str | None = None
    code: str | None = None
    details: JsonObject | None = None


@attrs.frozen(kw_only=True)
class MessagesErrorResponse:
    """An error, as a body or as an event."""

    type: Literal["error"] = "error"
    error: MessagesError
    request_id: str | None = None


MessageStreamEvent = (
    MessageStartEvent
    | ContentBlockStartEvent
    | ContentBlockDeltaEvent
    | ContentBlockStopEvent
    | MessageDeltaEvent
    | MessageStopEvent
    | PingEvent
    | MessagesErrorResponse
)
