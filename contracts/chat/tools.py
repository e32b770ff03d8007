"""Functions that a chat's model may call, the choice among them, and the calls it made."""

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

MAX_TOOLS = 128

FunctionName = Annotated[str, MinLen(1), MaxLen(256)]
"""OpenAI allows 64 letters, digits, underscores and dashes; any text will do here."""


@attrs.frozen(kw_only=True)
class FunctionDefinition:
    """A function. `parameters` is a JSON schema of its arguments; `strict` holds them to it."""

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
    """This function must be called."""

    type: Literal["function"]
    function: FunctionChoice


@attrs.frozen(kw_only=True)
class ChatCompletionNamedToolChoiceCustom:
    """This custom tool must be called."""

    type: Literal["custom"]
    custom: JsonObject | None = None


@attrs.frozen(kw_only=True)
class ChatCompletionAllowedTool:
    """A function of the request's `tools`."""

    type: Literal["function"]
    function: FunctionChoice


@attrs.frozen(kw_only=True)
class ChatCompletionAllowedTools:
    """Only these functions may be called (`auto`), or one of them must be (`required`)."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[ChatCompletionAllowedTool], MinLen(1), MaxLen(MAX_TOOLS)]


@attrs.frozen(kw_only=True)
class ChatCompletionAllowedToolsChoice:
    """The choice is narrowed to some of the tools."""

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
    """A function that the model called; `arguments` is JSON text."""

    name: str
    arguments: str


@attrs.frozen(kw_only=True)
class ChatCompletionMessageToolCall:
    """One call that an assistant's turn made."""

    id: str
    type: Literal["function"]
    function: ChatCompletionMessageToolCallFunction


@attrs.frozen(kw_only=True)
class ChatCompletionMessageToolCallChunkFunction:
    """The name comes with a call's first piece; the `arguments` of all its pieces concatenate to JSON text."""

    name: str | None = None
    arguments: str


@attrs.frozen(kw_only=True)
class ChatCompletionMessageToolCallChunk:
    """A piece of call number `index`; its first piece has `id`, `type` and the function's name."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: ChatCompletionMessageToolCallChunkFunction
