"""A response in a realtime session, and what a client may ask of one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import MaxLen

from contracts._fields import EXPLICIT_NULL, Metadata, Temperature
from contracts.chat.tools import MAX_TOOLS
from contracts.parameters import honoured, noted, refused
from contracts.realtime.items import (
    RealtimeFunctionCall,
    RealtimeFunctionCallOutput,
    RealtimeItem,
    RealtimeItemReference,
    RealtimeMessage,
)
from contracts.realtime.session import (
    MaxOutputTokens,
    OutputModality,
    RealtimeAudioFormat,
    RealtimeAudioOutput,
    RealtimeReasoning,
    RealtimeTool,
    RealtimeToolChoice,
)
from contracts.speech import VoiceId

__all__ = [
    "CancelReason",
    "CreatedAudio",
    "RealtimeResponse",
    "RealtimeResponseAudio",
    "RealtimeResponseAudioOutput",
    "RealtimeResponseCreateParams",
    "RealtimeResponseError",
    "RealtimeResponseStatus",
    "RealtimeUsage",
    "ResponseStatus",
]

ResponseStatus = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]
CancelReason = Literal["turn_detected", "client_cancelled"]


@attrs.frozen(kw_only=True)
class CreatedAudio:
    """The voice of one response."""

    output: RealtimeAudioOutput | None = None


@attrs.frozen(kw_only=True)
class RealtimeResponseCreateParams:
    """What one response has instead of the session's settings."""

    conversation: Literal["auto", "none"] | None = attrs.field(
        default=None,
        metadata=honoured("`none`: the answer does not become part of it.", default="auto"),
    )
    input: list[RealtimeMessage | RealtimeFunctionCall | RealtimeFunctionCallOutput | RealtimeItemReference] | None = (
        attrs.field(
            default=None,
            metadata=honoured(
                "The items that the model reads, instead of the conversation.",
                values="items, and references to items of the conversation",
                otherwise="the conversation",
            ),
        )
    )
    instructions: str | None = attrs.field(default=None, metadata=honoured(otherwise="the session's"))
    output_modalities: list[OutputModality] | None = attrs.field(
        default=None, metadata=honoured(otherwise="the session's")
    )
    audio: CreatedAudio | None = attrs.field(
        default=None, metadata=honoured(values="`output`, as the session's", otherwise="the session's")
    )
    tools: Annotated[list[RealtimeTool], MaxLen(MAX_TOOLS)] | None = attrs.field(
        default=None, metadata=honoured(otherwise="the session's")
    )
    tool_choice: RealtimeToolChoice | None = attrs.field(default=None, metadata=honoured(otherwise="the session's"))
    parallel_tool_calls: bool | None = attrs.field(default=None, metadata=honoured(otherwise="the session's"))
    max_output_tokens: MaxOutputTokens | None = attrs.field(default=None, metadata=honoured(otherwise="the session's"))
    temperature: Temperature | None = attrs.field(
        default=None, metadata=honoured("Extension.", otherwise="the session's")
    )
    seed: int | None = attrs.field(default=None, metadata=honoured("Extension.", otherwise="the session's"))
    reasoning: RealtimeReasoning | None = attrs.field(default=None, metadata=honoured(otherwise="the session's"))
    metadata: Metadata | None = attrs.field(
        default=None, metadata=honoured("Returned with the response.", otherwise="none")
    )
    prompt: Any = attrs.field(default=None, metadata=refused(instead="send instructions", note="OpenAI stores these."))
    commit: Any = attrs.field(default=None, metadata=noted("Of the beta protocol.", accepted=(True,)))


@attrs.frozen(kw_only=True)
class RealtimeResponseError:
    """Why a response failed."""

    type: str
    code: str
    message: str


@attrs.frozen(kw_only=True)
class RealtimeResponseStatus:
    """How a response ended."""

    type: Literal["completed", "cancelled", "incomplete", "failed"]
    reason: Literal["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"] | None = None
    error: RealtimeResponseError | None = None


@attrs.frozen(kw_only=True)
class CachedTokens:
    """What of the cached tokens was text, audio and pictures."""

    text_tokens: int
    audio_tokens: int = 0
    image_tokens: int = 0


@attrs.frozen(kw_only=True)
class InputTokens:
    """Tokens of the prompt. Speech comes into it as text."""

    text_tokens: int
    audio_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int
    cached_tokens_details: CachedTokens


@attrs.frozen(kw_only=True)
class OutputTokens:
    """Tokens that were generated. Speech is made of their text."""

    text_tokens: int
    audio_tokens: int = 0


@attrs.frozen(kw_only=True)
class RealtimeUsage:
    """Tokens of a response."""

    total_tokens: int
    input_tokens: int
    output_tokens: int
    input_token_details: InputTokens
    output_token_details: OutputTokens

    @classmethod
    def of(cls, prompt: int, output: int, cached: int) -> RealtimeUsage:
        return cls(
            total_tokens=prompt + output,
            input_tokens=prompt,
            output_tokens=output,
            input_token_details=InputTokens(
                text_tokens=prompt, cached_tokens=cached, cached_tokens_details=CachedTokens(text_tokens=cached)
            ),
            output_token_details=OutputTokens(text_tokens=output),
        )


@attrs.frozen(kw_only=True)
class RealtimeResponseAudioOutput:
    """The voice that spoke, and the encoding."""

    format: RealtimeAudioFormat
    voice: str | VoiceId | None = None


@attrs.frozen(kw_only=True)
class RealtimeResponseAudio:
    """Sound of a response."""

    output: RealtimeResponseAudioOutput


@attrs.frozen(kw_only=True)
class RealtimeResponse:
    """A response, at its beginning or its end."""

    id: str
    object: Literal["realtime.response"] = "realtime.response"
    status: ResponseStatus
    status_details: RealtimeResponseStatus | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    output: list[RealtimeItem]
    conversation_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    output_modalities: list[OutputModality]
    max_output_tokens: MaxOutputTokens
    audio: RealtimeResponseAudio | None = None
    usage: RealtimeUsage | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    metadata: dict[str, str] | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
