"""The request of Anthropic's Messages API."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import MaxLen, MinLen

from contracts._fields import Count, Fraction, JsonObject, Temperature, TopK
from contracts.chat.tools import FunctionName
from contracts.messages.blocks import InputBlock, TextBlock
from contracts.parameters import noted
from contracts.sampling import MAX_STOP

__all__ = [
    "CountTokensRequest",
    "MessageParam",
    "MessageTool",
    "MessageToolChoice",
    "MessagesRequest",
    "OutputConfig",
    "OutputFormat",
    "ThinkingConfig",
]


@attrs.frozen(kw_only=True)
class MessageParam:
    """A turn. A `system` turn among the others is read as one."""

    role: Literal["user", "assistant", "system"]
    content: str | list[InputBlock]


@attrs.frozen(kw_only=True)
class MessageTool:
    """A client's tool. A tool of a type that Anthropic's servers run is left out."""

    name: FunctionName
    type: str | None = None
    description: str | None = None
    input_schema: JsonObject | None = None
    strict: bool | None = None
    cache_control: JsonObject | None = None


@attrs.frozen(kw_only=True)
class MessageToolChoice:
    """Whether the model must call: `auto`, `any` (some tool), `tool` (the named one), or `none`."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


@attrs.frozen(kw_only=True)
class ThinkingConfig:
    """Whether the model reasons first, and for up to how many tokens."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Count | None = None
    display: str | None = None


@attrs.frozen(kw_only=True)
class OutputFormat:
    """The JSON schema of the response's text."""

    type: Literal["json_schema"]
    schema: JsonObject


@attrs.frozen(kw_only=True)
class OutputConfig:
    """The response's form, and how much effort the model makes."""

    format: OutputFormat | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


@attrs.frozen(kw_only=True)
class CountTokensRequest:
    """The conversation and tools whose tokens to count."""

    messages: Annotated[list[MessageParam], MinLen(1)]
    model: str | None = None
    system: str | list[TextBlock] | None = None
    tools: list[MessageTool] | None = None
    tool_choice: MessageToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    mcp_servers: list[JsonObject] | None = attrs.field(default=None, metadata=noted())
    context_management: JsonObject | None = attrs.field(default=None, metadata=noted())
    cache_control: JsonObject | None = None


@attrs.frozen(kw_only=True)
class MessagesRequest(CountTokensRequest):
    """A conversation to continue."""

    max_tokens: Count | None = None
    """Tokens to generate at most. Left out: as many as the context has room for."""
    stream: bool | None = None
    stop_sequences: Annotated[list[Annotated[str, MaxLen(1024)]], MaxLen(MAX_STOP)] | None = None
    temperature: Temperature | None = None
    top_p: Fraction | None = None
    top_k: TopK | None = None
    metadata: JsonObject | None = attrs.field(default=None, metadata=noted())
    service_tier: str | None = attrs.field(default=None, metadata=noted())
    inference_geo: str | None = attrs.field(default=None, metadata=noted())
    container: JsonObject | str | None = attrs.field(default=None, metadata=noted())
