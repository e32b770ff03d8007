"""Functions that the model may call, the choice among them, and calls that it made."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import MaxLen, MinLen

from contracts._fields import JsonObject

__all__ = [
    "MAX_TOOLS",
    "ChatCompletionAllowedTool",
    "ChatCompletionAllowedTools",
    "ChatCompletionAllowedToolsChoice",
    "ChatCompletionCustomTool",
    "ChatCompletionFunctionTool",
    "ChatCompletionMessageToolCall",
    "ChatCompletionMessageToolCallChunk",
    "ChatCompletionMessageToolCallChunkFunction",
    "ChatCompletionMessageToolCallFunction",
    "ChatCompletionNamedToolChoice",
    "ChatCompletionNamedToolChoiceCustom",
    "ChatCompletionTool",
    "ChatCompletionToolChoiceOption",
    "FunctionChoice",
    "FunctionDefinition",
    "FunctionName",
]

MAX_TOOLS = 1024
"""OpenAI allows 128; agents with several MCP servers send more."""

FunctionName = Annotated[str, MinLen(1), MaxLen(256)]
"""OpenAI allows 64 letters, digits, underscores and dashes; this server accepts any text."""


@attrs.frozen(kw_only=True)
class FunctionDefinition:
    """A function. `parameters` is a JSON schema of its arguments, and `strict` makes calls keep to it."""

    name: FunctionName
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionFunctionTool:
    """A function that the model may call."""

    type: Literal["function"]
    function: FunctionDefinition


@attrs.frozen(kw_only=True)
class ChatCompletionCustomTool:
    """A tool whose input is free text."""

    type: Literal["custom"]
    custom: JsonObject | None = None


ChatCompletionTool = ChatCompletionFunctionTool | ChatCompletionCustomTool


@attrs.frozen(kw_only=True)
class FunctionChoice:
    """The name of a function of the request's `tools`."""

    name: FunctionName


@attrs.frozen(kw_only=True)
class ChatCompletionNamedToolChoice:
    """The model must call this function."""

    type: Literal["function"]
    function: FunctionChoice


@attrs.frozen(kw_only=True)
class ChatCompletionNamedToolChoiceCustom:
    """The model must call this custom tool."""

    type: Literal["custom"]
    custom: JsonObject | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionAllowedTool:
    """A function of the request's `tools`."""

    type: Literal["function"]
    function: FunctionChoice


@attrs.frozen(kw_only=True)
class ChatCompletionAllowedTools:
    """The model may call only these functions (`auto`), or must call one of them (`required`)."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[ChatCompletionAllowedTool], MinLen(1), MaxLen(MAX_TOOLS)]


@attrs.frozen(kw_only=True)
class ChatCompletionAllowedToolsChoice:
    """A choice that allows only some of the tools."""

    type: Literal["allowed_tools"]
    allowed_tools: ChatCompletionAllowedTools


ChatCompletionToolChoiceOption = (
    Literal["none", "auto", "required"]
    | ChatCompletionNamedToolChoice
    | ChatCompletionNamedToolChoiceCustom
    | ChatCompletionAllowedToolsChoice
)


@attrs.frozen(kw_only=True)
class ChatCompletionMessageToolCallFunction:
    """The function of a call. `arguments` is JSON text."""

    name: str
    arguments: str


@attrs.frozen(kw_only=True)
class ChatCompletionMessageToolCall:
    """A call in an assistant's turn."""

    id: str
    type: Literal["function"]
    function: ChatCompletionMessageToolCallFunction


@attrs.frozen(kw_only=True)
class ChatCompletionMessageToolCallChunkFunction:
    """The function of a part of a call.

    The first part has the name. The `arguments` of all parts, concatenated, are JSON text.
    """

    name: str | None = None
    arguments: str


@attrs.frozen(kw_only=True)
class ChatCompletionMessageToolCallChunk:
    """A part of call number `index`. The first part has `id`, `type` and the name of the function."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: ChatCompletionMessageToolCallChunkFunction
