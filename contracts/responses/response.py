"""The responses of `/v1/responses`."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from contracts._fields import EXPLICIT_NULL
from contracts.responses.items import OutputItem, StoredItem
from contracts.responses.request import Reasoning
from contracts.responses.tools import ResponseTextParam, Tool, ToolChoice
from contracts.speech import SpeechGesture, SpeechViseme, SpeechWord, UnspokenText

__all__ = [
    "DeletedResponse",
    "IncompleteDetails",
    "InputTokensDetails",
    "OutputTokensDetails",
    "Response",
    "ResponseAudio",
    "ResponseError",
    "ResponseItemList",
    "ResponseStatus",
    "ResponseUsage",
    "TokenCount",
]

ResponseStatus = Literal["in_progress", "completed", "incomplete", "failed", "cancelled"]


@attrs.frozen(kw_only=True)
class TokenCount:
    """The number of tokens of an input, as the model reads it."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


@attrs.frozen(kw_only=True)
class InputTokensDetails:
    """The input tokens that were read from the prefix cache instead of computed, and those of passages."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0
    """Always 0: writing to the cache costs nothing here."""
    context_tokens: int | None = None
    """Extension: the input tokens that passages of files take. Only where files were searched."""


@attrs.frozen(kw_only=True)
class OutputTokensDetails:
    """The output tokens that were reasoning."""

    reasoning_tokens: int = 0


@attrs.frozen(kw_only=True)
class ResponseUsage:
    """The token counts of a response."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


@attrs.frozen(kw_only=True)
class ResponseError:
    """Why a response failed. `code` is OpenAI's. `type` is this server's own, such as `engine_crashed`."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str
    type: str


@attrs.frozen(kw_only=True)
class IncompleteDetails:
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"]


@attrs.frozen(kw_only=True)
class ResponseAudio:
    """The speech of a response. `data` and times are only in the answer to a request that does not stream.

    Times are seconds from the first sample, offsets characters of the transcript.
    """

    id: str
    """Reports of what was heard refer to it, until `expires_at`."""
    data: str | None = None
    """Base64 of a file of the requested format."""
    expires_at: int
    """Unix seconds."""
    transcript: str
    """The text of all messages of the output. Markup in it is not spoken."""
    sample_rate: int
    duration: float
    """Seconds: the sample count over the sample rate."""
    words: list[SpeechWord] | None = None
    visemes: list[SpeechViseme] | None = None
    gestures: list[SpeechGesture] | None = None
    unspoken: list[UnspokenText] | None = None
    """Present if a part of the text could not be said."""


@attrs.frozen(kw_only=True)
class Response:
    """A response up to the current event. It repeats the parameters of its request."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    """Unix seconds, here and below."""
    completed_at: int | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    status: ResponseStatus
    background: bool = False
    error: ResponseError | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    incomplete_details: IncompleteDetails | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    model: str
    output: list[OutputItem]
    audio: ResponseAudio | None = None
    """Extension: the speech of the output's text, if it was requested."""
    usage: ResponseUsage | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    instructions: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    previous_response_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    store: bool
    max_output_tokens: int | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    max_tool_calls: Any = attrs.field(default=None, metadata=EXPLICIT_NULL)
    metadata: dict[str, str]
    parallel_tool_calls: bool
    prompt_cache_key: Any = attrs.field(default=None, metadata=EXPLICIT_NULL)
    reasoning: Reasoning
    safety_identifier: Any = attrs.field(default=None, metadata=EXPLICIT_NULL)
    service_tier: Literal["default"] = "default"
    temperature: float | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    text: ResponseTextParam
    tool_choice: ToolChoice
    tools: list[Tool]
    top_logprobs: int = 0
    top_p: float | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    truncation: Literal["disabled"] = "disabled"
    user: Any = attrs.field(default=None, metadata=EXPLICIT_NULL)
    request_id: str


@attrs.frozen(kw_only=True)
class ResponseItemList:
    """A page of a response's input. The ids are null if the page is empty."""

    object: Literal["list"] = "list"
    data: list[StoredItem]
    first_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    last_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    has_more: bool


@attrs.frozen(kw_only=True)
class DeletedResponse:
    """The deletion of a stored response."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True
