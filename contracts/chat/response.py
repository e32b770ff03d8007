"""The response of `POST /v1/chat/completions`, as one object or as the chunks of a stream."""

from __future__ import annotations

from typing import Literal

import attrs

from contracts._fields import EXPLICIT_NULL
from contracts.chat.audio import AudioDelta, ChatCompletionAudio
from contracts.chat.tools import (
    ChatCompletionMessageToolCall,
    ChatCompletionMessageToolCallChunk,
    ChatCompletionMessageToolCallChunkFunction,
    ChatCompletionMessageToolCallFunction,
)
from contracts.retrieval.context import FileCitationAnnotation, UsedContext
from contracts.usage import CompletionUsage

__all__ = [
    "ChatCompletion",
    "ChatCompletionChoice",
    "ChatCompletionChunk",
    "ChatCompletionChunkChoice",
    "ChatCompletionChunkDelta",
    "ChatCompletionMessage",
    "ChatCompletionTokenLogprob",
    "ChoiceFinishReason",
    "ChoiceLogprobs",
    "FinishReason",
    "TopLogprob",
]

FinishReason = Literal["stop", "length", "tool_calls"]
ChoiceFinishReason = Literal[FinishReason, "function_call"]
"""`function_call`: to a request with `functions`."""


@attrs.frozen(kw_only=True)
class TopLogprob:
    """A candidate token, its UTF-8 bytes and its natural log-probability."""

    token: str
    bytes: list[int]
    logprob: float


@attrs.frozen(kw_only=True)
class ChatCompletionTokenLogprob:
    """A generated token, and the likeliest candidates in its place."""

    token: str
    bytes: list[int]
    logprob: float
    top_logprobs: list[TopLogprob]


@attrs.frozen(kw_only=True)
class ChoiceLogprobs:
    """The log-probabilities of all tokens of the content."""

    content: list[ChatCompletionTokenLogprob]
    refusal: None = attrs.field(default=None, metadata=EXPLICIT_NULL)


@attrs.frozen(kw_only=True)
class ChatCompletionMessage:
    """The model's turn. `content` is null if the model only called functions."""

    role: Literal["assistant"] = "assistant"
    content: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    refusal: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    reasoning_content: str | None = None
    tool_calls: list[ChatCompletionMessageToolCall] | None = None
    function_call: ChatCompletionMessageToolCallFunction | None = None
    """The call, to a request with `functions`."""
    audio: ChatCompletionAudio | None = None
    """The answer's speech and text, if it was requested; `content` is then null."""
    annotations: list[FileCitationAnnotation] | None = None
    """Extension: the citations of passages, to a request with `context`."""


@attrs.frozen(kw_only=True)
class ChatCompletionChoice:
    """A choice."""

    index: int = 0
    message: ChatCompletionMessage
    logprobs: ChoiceLogprobs | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    finish_reason: ChoiceFinishReason


@attrs.frozen(kw_only=True)
class ChatCompletion:
    """A complete response."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    """Unix seconds."""
    model: str
    choices: list[ChatCompletionChoice]
    usage: CompletionUsage
    system_fingerprint: str
    request_id: str
    context: UsedContext | None = None
    """Extension: what the prompt holds of files, to a request with `context`."""


@attrs.frozen(kw_only=True)
class ChatCompletionChunkDelta:
    """The part of the message that a chunk adds."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ChatCompletionMessageToolCallChunk] | None = None
    function_call: ChatCompletionMessageToolCallChunkFunction | None = None
    audio: AudioDelta | None = None
    annotations: list[FileCitationAnnotation] | None = None
    """Extension, with `finish_reason`: the citations of passages, to a request with `context`."""


@attrs.frozen(kw_only=True)
class ChatCompletionChunkChoice:
    """A part of a choice."""

    index: int = 0
    delta: ChatCompletionChunkDelta
    logprobs: ChoiceLogprobs | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    finish_reason: ChoiceFinishReason | None = attrs.field(default=None, metadata=EXPLICIT_NULL)


@attrs.frozen(kw_only=True)
class ChatCompletionChunk:
    """A chunk of a streamed response."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    """Unix seconds, the same on every chunk of a stream."""
    model: str
    system_fingerprint: str
    choices: list[ChatCompletionChunkChoice]
    usage: CompletionUsage | None = None
    request_id: str
    context: UsedContext | None = None
    """Extension, in the first chunk: what the prompt holds of files, to a request with `context`."""
