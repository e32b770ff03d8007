"""`POST /v1/chat/completions`: what is asked, what is answered, and the answer's pieces."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import Ge, Le, MaxLen, MinLen

from contracts._fields import EXPLICIT_NULL, Count, JsonObject
from contracts.chat.messages import ChatCompletionRequestMessage
from contracts.chat.response_format import ResponseFormat
from contracts.chat.tools import (
    MAX_TOOLS,
    ChatCompletionMessageToolCall,
    ChatCompletionMessageToolCallChunk,
    ChatCompletionTool,
    ChatCompletionToolChoiceOption,
)
from contracts.sampling import GenerationOptions
from contracts.usage import CompletionUsage

__all__ = [
    "ChatCompletion",
    "ChatCompletionChoice",
    "ChatCompletionChunk",
    "ChatCompletionChunkChoice",
    "ChatCompletionChunkDelta",
    "ChatCompletionMessage",
    "ChatCompletionRequest",
    "ChatCompletionTokenLogprob",
    "ChoiceLogprobs",
    "FinishReason",
    "Metadata",
    "ReasoningEffort",
    "TopLogprob",
]

FinishReason = Literal["stop", "length", "tool_calls"]

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

Metadata = Annotated[dict[str, Annotated[str, MaxLen(512)]], MaxLen(16)]


@attrs.frozen(kw_only=True)
class ChatCompletionRequest(GenerationOptions):
    """A conversation to continue.

    `null` means the same as leaving a field out. A parameter that this server knows and cannot honour is refused
    with `unsupported_parameter`; unknown fields are ignored.
    """

    messages: Annotated[list[ChatCompletionRequestMessage], MinLen(1)]
    max_completion_tokens: Count | None = None

    # Tools, and the answer's form.
    tools: Annotated[list[ChatCompletionTool], MaxLen(MAX_TOOLS)] | None = None
    tool_choice: ChatCompletionToolChoiceOption | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None

    # Thinking, and the prompt's form.
    reasoning_effort: ReasoningEffort | None = None
    max_reasoning_tokens: Count | None = None
    chat_template_kwargs: JsonObject | None = None

    # What is told of the answer.
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Ge(0), Le(20)] | None = None

    # Labels; they change nothing in the answer.
    store: bool | None = None
    metadata: Metadata | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    # Known, and refused unless they ask for what happens anyway.
    functions: list[JsonObject] | None = None
    function_call: str | JsonObject | None = None
    modalities: list[str] | None = None
    audio: JsonObject | None = None
    prediction: JsonObject | None = None
    web_search_options: JsonObject | None = None
    moderation: JsonObject | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    prompt_cache_options: JsonObject | None = None
    prompt_cache_retention: str | None = None


@attrs.frozen(kw_only=True)
class TopLogprob:
    """A token that could have been chosen, its UTF-8 bytes, and its natural log-probability."""

    token: str
    bytes: list[int]
    logprob: float


@attrs.frozen(kw_only=True)
class ChatCompletionTokenLogprob:
    """The token that was chosen, and the likeliest in its place."""

    token: str
    bytes: list[int]
    logprob: float
    top_logprobs: list[TopLogprob]


@attrs.frozen(kw_only=True)
class ChoiceLogprobs:
    """Of every token of the content."""

    content: list[ChatCompletionTokenLogprob]
    refusal: None = attrs.field(default=None, metadata=EXPLICIT_NULL)


@attrs.frozen(kw_only=True)
class ChatCompletionMessage:
    """The model's turn. `content` is null where it called functions and said nothing."""

    role: Literal["assistant"] = "assistant"
    content: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    refusal: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    reasoning_content: str | None = None
    tool_calls: list[ChatCompletionMessageToolCall] | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionChoice:
    """One answer."""

    index: int = 0
    message: ChatCompletionMessage
    logprobs: ChoiceLogprobs | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    finish_reason: FinishReason


@attrs.frozen(kw_only=True)
class ChatCompletion:
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    """Unix seconds."""
    model: str
    choices: list[ChatCompletionChoice]
    usage: CompletionUsage
    system_fingerprint: str
    request_id: str


@attrs.frozen(kw_only=True)
class ChatCompletionChunkDelta:
    """What a chunk adds to the message."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ChatCompletionMessageToolCallChunk] | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionChunkChoice:
    """A piece of one answer."""

    index: int = 0
    delta: ChatCompletionChunkDelta
    logprobs: ChoiceLogprobs | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    finish_reason: FinishReason | None = attrs.field(default=None, metadata=EXPLICIT_NULL)


@attrs.frozen(kw_only=True)
class ChatCompletionChunk:
    """A piece of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    """Unix seconds, the same on every chunk of a stream."""
    model: str
    system_fingerprint: str
    choices: list[ChatCompletionChunkChoice]
    usage: CompletionUsage | None = None
    request_id: str
