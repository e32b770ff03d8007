"""The requests of `/v1/responses`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import Ge, Le, MaxLen, MinLen

from contracts._fields import (
    EXPLICIT_NULL,
    Count,
    JsonObject,
)
from contracts.responses.items import InputItem
from contracts.responses.tools import ResponseTextParam, Tool, ToolChoice
from contracts.sampling import GuidedOptions

__all__ = [
    "CreateResponse",
    "Includable",
    "Reasoning",
    "ResponseStreamOptions",
    "TokenCountRequest",
]

Includable = Literal[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
]

Metadata = Annotated[dict[str, Annotated[str, MaxLen(512)]], MaxLen(16)]
Input = str | Annotated[list[InputItem], MinLen(1)]
Name = Annotated[str, MinLen(1), MaxLen(1024)]


@attrs.frozen(kw_only=True)
class ResponseStreamOptions:
    """How a response is streamed."""

    include_obfuscation: bool | None = None


@attrs.frozen(kw_only=True)
class Reasoning:
    """How the model thinks before it answers."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = attrs.field(
        default=None, metadata=EXPLICIT_NULL
    )
    summary: Literal["auto", "concise", "detailed"] | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: str | None = None


@attrs.frozen(kw_only=True)
class ChatOnly(GuidedOptions):
    """Sampling, and fields that chat completions have and that are called otherwise here, or are not there."""

    messages: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    response_format: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    logprobs: Any = None
    n: Any = None
    functions: Any = None
    function_call: Any = None


@attrs.frozen(kw_only=True)
class CreateResponse(ChatOnly):
    """A conversation to continue, by items.

    `null` means the same as leaving a field out. A parameter that this server knows and cannot honour is refused
    with `unsupported_parameter`; unknown fields are ignored.
    """

    model: Name
    input: Input
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    include: list[Includable] | None = None

    # Tools, thinking, and the form of the text.
    tools: Annotated[list[Tool], MaxLen(128)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: ResponseTextParam | None = None
    reasoning: Reasoning | None = None
    max_reasoning_tokens: Count | None = None
    chat_template_kwargs: JsonObject | None = None

    max_output_tokens: Count | None = None
    top_logprobs: Annotated[int, Ge(0), Le(20)] | None = None

    # Labels; they change nothing in the answer.
    metadata: Metadata | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    # Known, and refused unless they ask for what happens anyway.
    truncation: Literal["auto", "disabled"] | None = None
    background: bool | None = None
    service_tier: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: JsonObject | None = None
    max_tool_calls: Count | None = None
    conversation: str | JsonObject | None = None
    prompt: JsonObject | None = None
    context_management: list[JsonObject] | None = None
    moderation: JsonObject | None = None
    background_options: JsonObject | None = None
    access_programs: JsonObject | None = None
    image: JsonObject | None = None


@attrs.frozen(kw_only=True)
class TokenCountRequest:
    """What to count the tokens of: the part of `CreateResponse` that makes the prompt."""

    model: Name
    input: Input | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: Annotated[list[Tool], MaxLen(128)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: ResponseTextParam | None = None
    reasoning: Reasoning | None = None
    chat_template_kwargs: JsonObject | None = None
    truncation: Literal["auto", "disabled"] | None = None
    conversation: str | JsonObject | None = None
    personality: str | None = None
