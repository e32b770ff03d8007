"""Functions, the choice among them, and the form of the text: from a response's wire to the domain."""

from __future__ import annotations

import re

from contracts.responses.tools import (
    FunctionTool,
    TextFormat,
    TextResponseFormatJsonObject,
    TextResponseFormatJsonSchema,
    ToolChoiceAllowed,
    ToolChoiceFunction,
    ToolChoiceOther,
)
from contracts.responses.tools import Tool as WireTool
from contracts.responses.tools import ToolChoice as WireToolChoice
from providers.chat.types import Grammar, JsonObjectGrammar, JsonSchemaGrammar, Tool, ToolChoice
from providers.errors import InvalidRequest, UnsupportedParameter

__all__ = ["to_grammar", "to_tools"]

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def to_tools(
    tools: list[WireTool] | None, choice: WireToolChoice | None, parallel: bool | None
) -> tuple[list[Tool], ToolChoice]:
    """The functions that may be called, and whether one must be. `allowed_tools` leaves only those it lists.

    Raises:
        InvalidRequest: two functions of one name, or a choice of what is not there.
        UnsupportedParameter: a choice of a tool that is no function.
    """
    functions = {tool.name: _tool(tool) for tool in tools or [] if isinstance(tool, FunctionTool)}
    if len(functions) != len(tools or []):
        raise InvalidRequest("tools: two functions have the same name", param="tools")
    several = parallel is not False
    if isinstance(choice, ToolChoiceAllowed):
        names = [_allowed(choice, index) for index in range(len(choice.tools))]
        for index, name in enumerate(names):
            _check_known(name, functions, f"tool_choice.tools[{index}].name")
        allowed = [function for name, function in functions.items() if name in names]
        return allowed, ToolChoice(choice.mode, parallel=several)
    if isinstance(choice, ToolChoiceOther):
        raise _no_function("tool_choice.type", choice.type)
    listed = [*functions.values()]
    if isinstance(choice, ToolChoiceFunction):
        _check_known(choice.name, functions, "tool_choice.name")
        return listed, ToolChoice("required", choice.name, several)
    if choice == "required" and not functions:
        raise InvalidRequest("tool_choice is 'required', but there are no tools", param="tool_choice")
    return listed, ToolChoice(choice or "auto", parallel=several)


def to_grammar(format: TextFormat | None) -> tuple[Grammar, str] | None:
    """What the text is held to and the path of the field that says so, or None for any text.

    Raises:
        InvalidRequest: a schema's name that OpenAI would not take.
    """
    if isinstance(format, TextResponseFormatJsonObject):
        return JsonObjectGrammar(), "text.format"
    if isinstance(format, TextResponseFormatJsonSchema):
        if not _NAME.fullmatch(format.name):
            path = "text.format.name"
            raise InvalidRequest(f"{path}: letters, digits, underscores and dashes only", param=path)
        return JsonSchemaGrammar(format.schema), "text.format.schema"
    return None


def _tool(tool: FunctionTool) -> Tool:
    return Tool(name=tool.name, description=tool.description, parameters=tool.parameters, strict=bool(tool.strict))


def _allowed(choice: ToolChoiceAllowed, index: int) -> str:
    tool = choice.tools[index]
    if tool.type != "function":
        raise _no_function(f"tool_choice.tools[{index}].type", tool.type)
    return tool.name


def _check_known(name: str, functions: dict[str, Tool], path: str) -> None:
    if name not in functions:
        raise InvalidRequest(f"{path}: there is no function {name!r} in tools", param=path)


def _no_function(path: str, type_: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"{path}: {type_!r} is not a tool of this server; only functions are", param=path)
