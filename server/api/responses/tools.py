"""Functions, the choice among them, and the form of the text, from the wire of a response to the domain."""

from __future__ import annotations

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
from providers.chat.types import Grammar, JsonObjectGrammar, JsonSchemaGrammar, Tool
from providers.errors import InvalidRequest, UnsupportedParameter
from server.api.generation.tools import Functions, Selection

__all__ = ["to_grammar", "to_tools"]


def to_tools(tools: list[WireTool] | None, choice: WireToolChoice | None, parallel: bool | None) -> Selection:
    """Translate the tools of a response. `allowed_tools` leaves only those it lists.

    Raises:
        InvalidRequest: two functions have the same name, or the choice names a function that is not there.
        UnsupportedParameter: the choice is a tool that is not a function.
    """
    by_name = {tool.name: _tool(tool) for tool in tools or [] if isinstance(tool, FunctionTool)}
    if len(by_name) != len(tools or []):
        raise InvalidRequest("tools: two functions have the same name", param="tools")
    functions = Functions(by_name, parallel is not False)
    if isinstance(choice, ToolChoiceAllowed):
        names = [_allowed(choice, index) for index in range(len(choice.tools))]
        return functions.only(
            [(name, f"tool_choice.tools[{index}].name") for index, name in enumerate(names)], choice.mode
        )
    if isinstance(choice, ToolChoiceOther):
        raise _no_function("tool_choice.type", choice.type)
    if isinstance(choice, ToolChoiceFunction):
        return functions.one(choice.name, "tool_choice.name")
    return functions.any(choice or "auto")


def to_grammar(format: TextFormat | None) -> tuple[Grammar, str] | None:
    """The form of the text and the path of the field that sets it, or None for any text."""
    if isinstance(format, TextResponseFormatJsonObject):
        return JsonObjectGrammar(), "text.format"
    if isinstance(format, TextResponseFormatJsonSchema):
        return JsonSchemaGrammar(format.schema), "text.format.schema"
    return None


def _tool(tool: FunctionTool) -> Tool:
    return Tool(name=tool.name, description=tool.description, parameters=tool.parameters, strict=bool(tool.strict))


def _allowed(choice: ToolChoiceAllowed, index: int) -> str:
    tool = choice.tools[index]
    if tool.type != "function":
        raise _no_function(f"tool_choice.tools[{index}].type", tool.type)
    return tool.name


def _no_function(path: str, type_: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"{path}: {type_!r} is not a tool of this server; only functions are", param=path)
