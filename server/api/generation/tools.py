"""Functions and the choice among them, from the wire to the domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

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
            raise InvalidRequest(f"{path}: tools has no function of this name", param=path)


def to_tools(
    tools: Sequence[ChatCompletionTool] | None, choice: ChatCompletionToolChoiceOption | None, parallel: bool | None
) -> Selection:
    """Translate the tools of a chat. `allowed_tools` leaves only those it lists.

    Raises:
        InvalidRequest: two functions have the same name, or the choice names a function that is not there.
        UnsupportedParameter: a tool is custom, or the choice is one.
    """
    functions = Functions(_functions(tools or []), parallel is not False)
    if isinstance(choice, ChatCompletionNamedToolChoiceCustom):
        raise _custom("tool_choice.type")
    if isinstance(choice, ChatCompletionNamedToolChoice):
        return functions.one(choice.function.name, "tool_choice.function.name")
    if isinstance(choice, ChatCompletionAllowedToolsChoice):
        allowed = [
            (tool.function.name, f"tool_choice.allowed_tools.tools[{index}].function.name")
            for index, tool in enumerate(choice.allowed_tools.tools)
        ]
        return functions.only(allowed, choice.allowed_tools.mode)
    return functions.any(choice or "auto")


def _functions(tools: Sequence[ChatCompletionTool]) -> dict[str, Tool]:
    functions: dict[str, Tool] = {}
    for index, tool in enumerate(tools):
        if isinstance(tool, ChatCompletionCustomTool):
            raise _custom(f"tools[{index}].type")
        function = tool.function
        if function.name in functions:
            path = f"tools[{index}].function.name"
            raise InvalidRequest(f"{path}: another function has the same name", param=path)
        functions[function.name] = Tool(
            name=function.name,
            description=function.description,
            parameters=function.parameters,
            strict=bool(function.strict),
        )
    return functions


def _custom(path: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"{path}: custom tools are not supported by this server; use functions", param=path)
