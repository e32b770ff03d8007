"""`POST /v1/chat/completions`: what is asked, what is answered, and the answer's pieces."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from contracts._fields import (
    EXPLICIT_NULL,
    INT32_MAX,
    Bias,
    Count,
    Fraction,
    Half,
    JsonObject,
    NonEmpty,
    Penalty,
    Seconds,
    Temperature,
)
from contracts.messages import ChatCompletionRequestMessage
from contracts.usage import CompletionUsage

__all__ = [
    "MAX_STOP",
    "ChatCompletion",
    "ChatCompletionChoice",
    "ChatCompletionChunk",
    "ChatCompletionChunkChoice",
    "ChatCompletionChunkDelta",
    "ChatCompletionMessage",
    "ChatCompletionRequest",
    "ChatCompletionStreamOptions",
    "FinishReason",
    "ResponseFormat",
]

FinishReason = Literal["stop", "length", "tool_calls"]

MAX_STOP = 64
"""Stop strings a request may carry. OpenAI allows 4; each one costs a search in every decode step."""


@attrs.frozen(kw_only=True)
class ChatCompletionStreamOptions:
    """How a stream reports usage.

    `include_usage` true adds a last chunk with `usage` and no choices; false reports none; left out, `usage`
    is on the chunk that carries `finish_reason`.
    """

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


@attrs.frozen(kw_only=True)
class ResponseFormat:
    """The form that the answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonObject | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionRequest:
    """A conversation to continue.

    `null` means the same as leaving a field out. A parameter that this server knows and cannot honour is refused
    with `unsupported_parameter`; unknown fields are ignored.
    """

    model: Annotated[str, MinLen(1), MaxLen(1024)]
    messages: Annotated[list[ChatCompletionRequestMessage], MinLen(1)]
    stream: bool | None = None
    stream_options: ChatCompletionStreamOptions | None = None

    # Length and end.
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    stop: NonEmpty | Annotated[list[NonEmpty], MaxLen(MAX_STOP)] | None = None
    timeout: Seconds | None = None

    # Sampling.
    temperature: Temperature | None = None
    top_p: Fraction | None = None
    top_k: Annotated[int, Ge(-1), Le(INT32_MAX)] | None = None
    min_p: Fraction | None = None
    xtc_probability: Fraction | None = None
    xtc_threshold: Half | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Gt(0), Le(100)] | None = None
    repetition_context_size: Count | None = None
    logit_bias: dict[str, Bias] | None = None
    seed: int | None = None
    """Any 64-bit integer."""

    # The prompt's form.
    chat_template_kwargs: JsonObject | None = None

    # Labels; they change nothing in the answer.
    user: str | None = None
    metadata: JsonObject | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    # Known, and refused unless they ask for what happens anyway.
    store: bool | None = None
    n: Annotated[int, Ge(1), Le(128)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Ge(0), Le(20)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[JsonObject] | None = None
    tool_choice: str | JsonObject | None = None
    parallel_tool_calls: bool | None = None
    functions: list[JsonObject] | None = None
    function_call: str | JsonObject | None = None
    modalities: list[str] | None = None
    audio: JsonObject | None = None
    prediction: JsonObject | None = None
    web_search_options: JsonObject | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    prompt_cache_retention: str | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionMessage:
    """The model's turn."""

    role: Literal["assistant"] = "assistant"
    content: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    refusal: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    reasoning_content: str | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionChoice:
    """One answer."""

    index: int = 0
    message: ChatCompletionMessage
    logprobs: Any = attrs.field(default=None, metadata=EXPLICIT_NULL)
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


@attrs.frozen(kw_only=True)
class ChatCompletionChunkChoice:
    """A piece of one answer."""

    index: int = 0
    delta: ChatCompletionChunkDelta
    logprobs: Any = attrs.field(default=None, metadata=EXPLICIT_NULL)
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
