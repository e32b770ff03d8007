"""Functions and the choice among them, from a chat's wire to the domain."""

from __future__ import annotations

from collections.abc import Container, Sequence

from contracts.chat.tools import (
    ChatCompletionAllowedToolsChoice,
    ChatCompletionCustomTool,
    ChatCompletionNamedToolChoice,
    ChatCompletionNamedToolChoiceCustom,
    ChatCompletionTool,
    ChatCompletionToolChoiceOption,
)
from providers.chat.types import Tool, ToolChoice
from providers.errors import InvalidRequest, UnsupportedParameter

__all__ = ["to_tools"]


def to_tools(
    tools: Sequence[ChatCompletionTool] | None, choice: ChatCompletionToolChoiceOption | None, parallel: bool | None
) -> tuple[list[Tool], ToolChoice]:
    """The functions that may be called, and whether one must be. `allowed_tools` leaves only those it lists.

    Raises:
        InvalidRequest: two functions of one name, or a choice of what is not there.
        UnsupportedParameter: a custom tool, or the choice of one.
    """
    functions = _functions(tools or [])
    several = parallel is not False
    if isinstance(choice, ChatCompletionNamedToolChoiceCustom):
        raise _custom("tool_choice.type")
    if isinstance(choice, ChatCompletionNamedToolChoice):
        _check_known(choice.function.name, functions, "tool_choice.function.name")
        return [*functions.values()], ToolChoice("required", choice.function.name, several)
    if isinstance(choice, ChatCompletionAllowedToolsChoice):
        allowed = [tool.function.name for tool in choice.allowed_tools.tools]
        for index, name in enumerate(allowed):
            _check_known(name, functions, f"tool_choice.allowed_tools.tools[{index}].function.name")
        listed = [function for name, function in functions.items() if name in allowed]
        return listed, ToolChoice(choice.allowed_tools.mode, parallel=several)
    if choice == "required" and not functions:
        raise InvalidRequest("tool_choice: a call is required, and there are no tools", param="tool_choice")
    return [*functions.values()], ToolChoice(choice or "auto", parallel=several)


def _functions(tools: Sequence[ChatCompletionTool]) -> dict[str, Tool]:
    functions: dict[str, Tool] = {}
    for index, tool in enumerate(tools):
        if isinstance(tool, ChatCompletionCustomTool):
            raise _custom(f"tools[{index}].type")
        function = tool.function
        if function.name in functions:
            path = f"tools[{index}].function.name"
            raise InvalidRequest(f"{path}: there is another function of this name", param=path)
        functions[function.name] = Tool(
            name=function.name,
            description=function.description,
            parameters=function.parameters,
            strict=bool(function.strict),
        )
    return functions


def _check_known(name: str, functions: Container[str], path: str) -> None:
    if name not in functions:
        raise InvalidRequest(f"{path}: tools has no function of this name", param=path)


def _custom(path: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"{path}: custom tools are not supported by this server; use functions", param=path)
