"""The requests of Anthropic's Messages API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import MaxLen, MinLen

from contracts._fields import JsonSchema, TokenLimit
from contracts.chat.request import GivenEffort, ReasoningBudget
from contracts.chat.tools import MAX_TOOLS, FunctionName
from contracts.messages.blocks import CACHE_CONTROL, InputBlock, TextBlock
from contracts.parameters import honoured, noted
from contracts.sampling import MAX_STOP, SamplingOptions, StopText

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

    role: Literal["user", "assistant", "system", "developer"] = attrs.field(
        metadata=honoured("`developer` is read as `system`.")
    )
    content: str | list[InputBlock] = attrs.field(metadata=honoured())


@attrs.frozen(kw_only=True)
class MessageTool:
    """A client's tool. A tool of a type that Anthropic's servers run is left out."""

    name: FunctionName | None = attrs.field(default=None, metadata=honoured(otherwise="refused, of a client's tool"))
    type: str | None = attrs.field(default=None, metadata=honoured(default="custom"))
    description: str | None = attrs.field(default=None, metadata=honoured(otherwise="none"))
    input_schema: JsonSchema | None = attrs.field(default=None, metadata=honoured(otherwise="any object"))
    strict: bool | None = attrs.field(default=None, metadata=honoured(default=False))
    cache_control: Any = attrs.field(default=None, metadata=CACHE_CONTROL)


@attrs.frozen(kw_only=True)
class MessageToolChoice:
    """Whether the model must call: `auto`, `any` (some tool), `tool` (the named one), or `none`."""

    type: Literal["auto", "any", "tool", "none"] = attrs.field(metadata=honoured())
    name: str | None = attrs.field(default=None, metadata=honoured("Of `tool`.", otherwise="none"))
    disable_parallel_tool_use: bool | None = attrs.field(default=None, metadata=honoured(default=False))


@attrs.frozen(kw_only=True)
class ThinkingConfig:
    """Whether the model reasons first, and for up to how many tokens."""

    type: Literal["enabled", "disabled", "adaptive", "auto"] = attrs.field(metadata=honoured())
    budget_tokens: ReasoningBudget | None = attrs.field(
        default=None, metadata=honoured(otherwise="no limit of its own")
    )
    display: Any = attrs.field(default=None, metadata=noted("Reasoning is returned word for word.", accepted=("full",)))


@attrs.frozen(kw_only=True)
class OutputFormat:
    """The JSON schema of the response's text."""

    type: Literal["json_schema"] = attrs.field(metadata=honoured())
    schema: JsonSchema = attrs.field(metadata=honoured())


@attrs.frozen(kw_only=True)
class OutputConfig:
    """The response's form, and how much effort the model makes."""

    format: OutputFormat | None = attrs.field(default=None, metadata=honoured(otherwise="any text"))
    effort: GivenEffort | None = attrs.field(default=None, metadata=honoured(otherwise="the chat template's own"))


_MESSAGES = honoured(
    "Roles `user`, `assistant`, and `system` among them. See [Content](#content). A last turn of the assistant is "
    "continued.",
    values="at least one turn",
)
_MODEL = honoured(
    "With one chat model, any name works and the response names the real one. With several, it must be the id or an "
    "alias of one.",
    values="text",
    otherwise="the only chat model",
)
_SYSTEM = honoured(
    "The first system turn. Blocks are joined by an empty line.", values="text, or `text` blocks", otherwise="none"
)
_TOOLS = honoured(
    "`strict` holds the input to `input_schema`. Tools that Anthropic's servers run (`web_search_…`, `bash_…` without "
    "an `input_schema`) are left out and noted.",
    values=f"up to {MAX_TOOLS} tools",
    default=[],
)
_TOOL_CHOICE = honoured(
    "`disable_parallel_tool_use` true: at most one call.",
    values="`auto`, `any`, `tool` with a `name`, `none`",
    default={"type": "auto"},
)
_THINKING = honoured(
    "The chat template gets it as `enable_thinking`. `budget_tokens` ends the reasoning after this number of tokens. "
    "`display` is noted.",
    values="`enabled` with `budget_tokens`, `adaptive`, `disabled`",
    default={"type": "disabled"},
)
_OUTPUT_CONFIG = honoured(
    "`format` holds the text to a schema. The chat template gets `effort` as `reasoning_effort`.",
    values="`format`, `effort`",
    otherwise="any text",
)
_OUTPUT_FORMAT = honoured("Older name of `output_config.format`.", otherwise="any text")
_MCP_SERVERS = noted("This server calls no MCP servers: the client offers their tools.", accepted=([],))
_CONTEXT_MANAGEMENT = noted("A hint: the client compacts its conversation itself.", accepted=({},))


@attrs.frozen(kw_only=True)
class CountTokensRequest:
    """The conversation and tools whose tokens to count."""

    messages: Annotated[list[MessageParam], MinLen(1)] = attrs.field(metadata=_MESSAGES)
    model: str | None = attrs.field(default=None, metadata=_MODEL)
    system: str | list[TextBlock] | None = attrs.field(default=None, metadata=_SYSTEM)
    tools: Annotated[list[MessageTool], MaxLen(MAX_TOOLS)] | None = attrs.field(default=None, metadata=_TOOLS)
    tool_choice: MessageToolChoice | None = attrs.field(default=None, metadata=_TOOL_CHOICE)
    thinking: ThinkingConfig | None = attrs.field(default=None, metadata=_THINKING)
    output_config: OutputConfig | None = attrs.field(default=None, metadata=_OUTPUT_CONFIG)
    output_format: OutputFormat | None = attrs.field(default=None, metadata=_OUTPUT_FORMAT)
    mcp_servers: Any = attrs.field(default=None, metadata=_MCP_SERVERS)
    context_management: Any = attrs.field(default=None, metadata=_CONTEXT_MANAGEMENT)
    cache_control: Any = attrs.field(default=None, metadata=CACHE_CONTROL)


@attrs.frozen(kw_only=True)
class MessagesRequest(SamplingOptions):
    """A conversation to continue.

    `null` means the same as leaving a field out. Unknown fields are noted.
    """

    messages: Annotated[list[MessageParam], MinLen(1)] = attrs.field(metadata=_MESSAGES)
    model: str | None = attrs.field(default=None, metadata=_MODEL)
    max_tokens: TokenLimit | None = attrs.field(
        default=None,
        metadata=honoured(
            "Tokens to generate at most, reasoning included. More than the context has room for means as many as it "
            "has.",
            values="1 or more, or -1 for no limit",
            otherwise="as many as the context has room for",
        ),
    )
    stream: bool | None = attrs.field(
        default=None, metadata=honoured("Anthropic's events, ended by `message_stop`.", default=False)
    )
    system: str | list[TextBlock] | None = attrs.field(default=None, metadata=_SYSTEM)
    stop_sequences: Annotated[list[StopText | None], MaxLen(MAX_STOP)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Texts that end the answer. They are matched in its text and are not part of it. Empty ones mean nothing.",
            values=f"up to {MAX_STOP} texts of up to 1024 characters",
            default=[],
        ),
    )

    # Tools, reasoning, and the form of the text.
    tools: Annotated[list[MessageTool], MaxLen(MAX_TOOLS)] | None = attrs.field(default=None, metadata=_TOOLS)
    tool_choice: MessageToolChoice | None = attrs.field(default=None, metadata=_TOOL_CHOICE)
    thinking: ThinkingConfig | None = attrs.field(default=None, metadata=_THINKING)
    output_config: OutputConfig | None = attrs.field(default=None, metadata=_OUTPUT_CONFIG)
    output_format: OutputFormat | None = attrs.field(default=None, metadata=_OUTPUT_FORMAT)

    # Labels, hints about price and caches, and what only Anthropic's servers have.
    mcp_servers: Any = attrs.field(default=None, metadata=_MCP_SERVERS)
    context_management: Any = attrs.field(default=None, metadata=_CONTEXT_MANAGEMENT)
    cache_control: Any = attrs.field(default=None, metadata=CACHE_CONTROL)
    metadata: Any = attrs.field(default=None, metadata=noted("A label.", accepted=({},)))
    service_tier: Any = attrs.field(default=None, metadata=noted("A hint about price."))
    inference_geo: Any = attrs.field(default=None, metadata=noted("The model runs here."))
    container: Any = attrs.field(default=None, metadata=noted("The server runs no code."))
