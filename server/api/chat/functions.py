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


def has_functions(request: ChatCompletionRequest) -> bool:
    """Whether the answer has `function_call` instead of `tool_calls`."""
    return bool(request.functions)


def selection(request: ChatCompletionRequest) -> Selection:
    """The functions that the model may call, in either form of the request.

    Raises:
        InvalidRequest: the request has both forms, or as `to_tools`.
        UnsupportedParameter: as `to_tools`.
    """
    choice, older = _choice(request), has_functions(request)
    if older and request.tools:
        raise InvalidRequest("functions: tools has the functions already; send one of them", param="functions")
    try:
        if not older:
            return to_tools(request.tools, choice, request.parallel_tool_calls)
        tools = [ChatCompletionFunctionTool(function=function) for function in request.functions or []]
        return to_tools(tools, choice, parallel=False)  # `function_call` holds one call
    except InvalidRequest as error:
        raise _as_sent(error, request) from None


def _as_sent(error: InvalidRequest, request: ChatCompletionRequest) -> InvalidRequest:
    """The same refusal, with its path in the form that the request has."""
    path = error.param or ""
    here = path
    if path.startswith("tools[") and has_functions(request):
        here = path.replace("tools", "functions").replace(".function.", ".")
    elif path.startswith("tool_choice") and request.function_call is not None:
        here = path.replace("tool_choice", "function_call").replace(".function.", ".")
    return type(error)(error.message.replace(path, here), param=here)


def _choice(request: ChatCompletionRequest) -> ChatCompletionToolChoiceOption | None:
    older = request.function_call
    if older is None:
        return request.tool_choice
    if request.tool_choice is not None:
        message = "function_call: tool_choice makes the choice already; send one of them"
        raise InvalidRequest(message, param="function_call")
    return ChatCompletionNamedToolChoice(function=older) if isinstance(older, FunctionChoice) else older
