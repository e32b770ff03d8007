"""The request of `POST /v1/chat/completions`."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import Ge, Le, MaxLen, MinLen

from contracts._fields import Count, JsonObject
from contracts.chat.messages import ChatCompletionRequestMessage
from contracts.chat.response_format import ResponseFormat
from contracts.chat.tools import (
    MAX_TOOLS,
    ChatCompletionTool,
    ChatCompletionToolChoiceOption,
)
from contracts.sampling import GenerationOptions

__all__ = [
    "ChatCompletionRequest",
    "Metadata",
    "ReasoningEffort",
]

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
