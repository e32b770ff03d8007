"""Functions and the choice among them, from the wire to the domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from contracts.chat.tools import (
    ChatCompletionAllowedTool,
    ChatCompletionAllowedToolsChoice,
    ChatCompletionNamedToolChoice,
    ChatCompletionNamedToolChoiceCustom,
    ChatCompletionTool,
    ChatCompletionToolChoiceMode,
    ChatCompletionToolChoiceOption,
)
from providers.chat.types import Tool, ToolChoice
from providers.errors import InvalidRequest, UnsupportedParameter
from server.noted import note

__all__ = ["Functions", "Selection", "to_tools"]

Selection = tuple[list[Tool], ToolChoice]
"""The functions that the model may call, and whether it must."""


@attrs.frozen
class Functions:
    """The functions of a request, by name, and the choices that it can make among them."""

    by_name: dict[str, Tool]
    parallel: bool = True
    """Whether the model may make several calls."""

    def any(self, mode: Literal["none", "auto", "required"]) -> Selection:
        """All of them.

        Raises:
            InvalidRequest: a call is required, and there are no functions.
        """
        if mode == "required" and not self.by_name:
            raise InvalidRequest("tool_choice: a call is required, and there are no tools", param="tool_choice")
        return [*self.by_name.values()], ToolChoice(mode, parallel=self.parallel)

    def one(self, name: str, path: str) -> Selection:
        """This one, which must be called. Raises: InvalidRequest at `path`, if it is not there."""
        self._check(name, path)
        return [*self.by_name.values()], ToolChoice("required", name, self.parallel)

    def only(self, names: Sequence[tuple[str, str]], mode: Literal["auto", "required"]) -> Selection:
        """Those of these names, each with its path. Raises: InvalidRequest at the path of one that is not there."""
        for name, path in names:
            self._check(name, path)
        allowed = {name for name, _ in names}
        listed = [function for name, function in self.by_name.items() if name in allowed]
        return listed, ToolChoice(mode, parallel=self.parallel)

    def _check(self, name: str, path: str) -> None:
        if name not in self.by_name:
            raise InvalidRequest(f"{path}: there is no function of this name", param=path)


def to_tools(
    tools: Sequence[ChatCompletionTool] | None, choice: ChatCompletionToolChoiceOption | None, parallel: bool | None
) -> Selection:
    """Translate the tools of a chat. `allowed_tools` leaves only those it lists.

    Raises:
        InvalidRequest: two functions have the same name, or the choice names a function that is not there.
        UnsupportedParameter: the choice is a custom tool.
    """
    functions = Functions(_functions(tools or []), parallel is not False)
    if isinstance(choice, ChatCompletionNamedToolChoiceCustom):
        path = "tool_choice.type"
        raise UnsupportedParameter(f"{path}: custom tools are not supported by this server; use functions", param=path)
    if isinstance(choice, ChatCompletionNamedToolChoice):
        return functions.one(*_named(choice, "tool_choice"))
    if isinstance(choice, ChatCompletionAllowedToolsChoice):
        return functions.only(*_allowed(choice))
    mode = choice.type if isinstance(choice, ChatCompletionToolChoiceMode) else choice or "auto"
    return functions.any("required" if mode == "any" else mode)


def _functions(tools: Sequence[ChatCompletionTool]) -> dict[str, Tool]:
    functions: dict[str, Tool] = {}
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        if isinstance(tool, dict):
            note(f"{path}.{tool['type']}")
            continue
        function = tool.function or tool
        if function.name is None:
            raise InvalidRequest(f"{path}.function: required, but missing", param=f"{path}.function")
        made = Tool(
            name=function.name,
            description=function.description,
            parameters=function.parameters,
            strict=bool(function.strict),
        )
        if functions.get(function.name, made) != made:
            path = f"{path}.function.name"
            raise InvalidRequest(f"{path}: another function has the same name", param=path)
        functions[function.name] = made
    return functions


def _named(choice: ChatCompletionNamedToolChoice | ChatCompletionAllowedTool, path: str) -> tuple[str, str]:
    """The name of a chosen function, and its path."""
    if choice.function is not None:
        return choice.function.name, f"{path}.function.name"
    if choice.name is not None:
        return choice.name, f"{path}.name"
    example = '{"type": "function", "function": {"name": "…"}}'
    raise InvalidRequest(f"{path}.function: required, but missing; send {example}", param=f"{path}.function")


def _allowed(choice: ChatCompletionAllowedToolsChoice) -> tuple[list[tuple[str, str]], Literal["auto", "required"]]:
    """The names of allowed functions with their paths, and whether one must be called."""
    if choice.allowed_tools is not None:
        path, mode, tools = "tool_choice.allowed_tools", choice.allowed_tools.mode, choice.allowed_tools.tools
    elif choice.tools is not None:
        path, mode, tools = "tool_choice", choice.mode or "auto", choice.tools
    else:
        path = "tool_choice.allowed_tools"
        raise InvalidRequest(f"{path}: required, but missing", param=path)
    return [_named(tool, f"{path}.tools[{index}]") for index, tool in enumerate(tools)], mode
