"""Functions that the model may call, the choice among them, and calls that it made."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import MaxLen, MinLen

from contracts._fields import JsonObject, JsonSchema, JsonText

__all__ = [
    "MAX_TOOLS",
    "CalledCustomTool",
    "CalledFunction",
    "ChatCompletionAllowedTool",
    "ChatCompletionAllowedTools",
    "ChatCompletionAllowedToolsChoice",
    "ChatCompletionFunctionTool",
    "ChatCompletionMessageToolCall",
    "ChatCompletionMessageToolCallChunk",
    "ChatCompletionMessageToolCallChunkFunction",
    "ChatCompletionMessageToolCallFunction",
    "ChatCompletionNamedToolChoice",
    "ChatCompletionNamedToolChoiceCustom",
    "ChatCompletionTool",
    "ChatCompletionToolChoiceMode",
    "ChatCompletionToolChoiceOption",
    "EarlierToolCall",
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
    parameters: JsonSchema | None = None
    strict: bool | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionFunctionTool:
    """A function that the model may call: in `function`, or beside `type` as in the Responses API."""

    type: Literal["function"] = "function"
    function: FunctionDefinition | None = None
    name: FunctionName | None = None
    description: str | None = None
    parameters: JsonSchema | None = None
    strict: bool | None = None


ChatCompletionTool = ChatCompletionFunctionTool | JsonObject
"""A function, or a tool of a type that this server cannot run."""


@attrs.frozen(kw_only=True)
class FunctionChoice:
    """The name of a function of the request's `tools`."""

    name: FunctionName


@attrs.frozen(kw_only=True)
class ChatCompletionNamedToolChoice:
    """The model must call this function. The name may also stand beside `type`."""

    type: Literal["function", "tool"] = "function"
    function: FunctionChoice | None = None
    name: FunctionName | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionToolChoiceMode:
    """A word for the choice, as an object. `any` is `required`."""

    type: Literal["none", "auto", "required", "any"]


@attrs.frozen(kw_only=True)
class ChatCompletionNamedToolChoiceCustom:
    """The model must call this custom tool."""

    type: Literal["custom"]
    custom: JsonObject | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionAllowedTool:
    """A function of the request's `tools`. The name may also stand beside `type`."""

    type: Literal["function"] = "function"
    function: FunctionChoice | None = None
    name: FunctionName | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionAllowedTools:
    """The model may call only these functions (`auto`), or must call one of them (`required`)."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[ChatCompletionAllowedTool], MinLen(1), MaxLen(MAX_TOOLS)]


@attrs.frozen(kw_only=True)
class ChatCompletionAllowedToolsChoice:
    """A choice that allows only some of the tools: in `allowed_tools`, or beside `type` as in the Responses API."""

    type: Literal["allowed_tools"]
    allowed_tools: ChatCompletionAllowedTools | None = None
    mode: Literal["auto", "required"] | None = None
    tools: Annotated[list[ChatCompletionAllowedTool], MinLen(1), MaxLen(MAX_TOOLS)] | None = None


ChatCompletionToolChoiceOption = (
    Literal["none", "auto", "required", "any"]
    | ChatCompletionNamedToolChoice
    | ChatCompletionToolChoiceMode
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
class CalledFunction:
    """The function of an earlier call, which may come from another server: `arguments` is JSON, or its text."""

    name: str
    arguments: JsonText = ""


@attrs.frozen(kw_only=True)
class CalledCustomTool:
    """The custom tool of an earlier call."""

    name: str
    input: JsonText = ""


@attrs.frozen(kw_only=True)
class EarlierToolCall:
    """A call in an assistant's turn of the history. Without an id, it gets one. It has a function, or a custom tool."""

    type: str | None = "function"
    id: str | int | None = None
    index: int | None = None
    function: CalledFunction | None = None
    custom: CalledCustomTool | None = None


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
