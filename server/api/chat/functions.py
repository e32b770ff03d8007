"""`functions` and `function_call`: tools as chats had them before `tools`. The answer has the older form as well."""

from __future__ import annotations

from contracts.chat.request import ChatCompletionRequest
from contracts.chat.tools import (
    ChatCompletionFunctionTool,
    ChatCompletionNamedToolChoice,
    ChatCompletionToolChoiceOption,
    FunctionChoice,
)
from providers.errors import InvalidRequest
from server.api.generation.tools import Selection, to_tools

__all__ = ["has_functions", "selection"]


_OLDER = {"tools": "functions", "tool_choice": "function_call", ".function.": "."}
"""Parts of paths, and what they are in the older form."""


def has_functions(request: ChatCompletionRequest) -> bool:
    """Whether the answer has `function_call` instead of `tool_calls`."""
    return bool(request.functions)


def selection(request: ChatCompletionRequest) -> Selection:
    """The functions that the model may call, in either form of the request.

    Raises:
        InvalidRequest: the request has both forms, or as `to_tools`.
        UnsupportedParameter: as `to_tools`.
    """
    choice = _choice(request)
    if not has_functions(request):
        return to_tools(request.tools, choice, request.parallel_tool_calls)
    if request.tools:
        raise InvalidRequest("functions: tools has the functions already; send one of them", param="functions")
    tools = [ChatCompletionFunctionTool(function=function) for function in request.functions or []]
    try:
        return to_tools(tools, choice, parallel=False)  # `function_call` holds one call
    except InvalidRequest as error:
        for name, older in _OLDER.items():
            error.param = (error.param or "").replace(name, older)
        raise


def _choice(request: ChatCompletionRequest) -> ChatCompletionToolChoiceOption | None:
    older = request.function_call
    if older is None:
        return request.tool_choice
    if request.tool_choice is not None:
        message = "function_call: tool_choice makes the choice already; send one of them"
        raise InvalidRequest(message, param="function_call")
    return ChatCompletionNamedToolChoice(function=older) if isinstance(older, FunctionChoice) else older
