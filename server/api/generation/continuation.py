"""Requests that continue the last turn of a chat, which is the assistant's, instead of opening a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.chat.request import ChatCompletionRequest
from providers.errors import InvalidRequest

__all__ = ["continues", "without_continuation"]

_KEY = "continue_final_message"


def continues(request: ChatCompletionRequest) -> bool:
    """Whether the answer continues the last turn: vLLM's `continue_final_message`, in the request or among the
    template's arguments, or `prefix` of the last turn, as DeepSeek and Mistral have it.

    Raises:
        InvalidRequest: the last turn is not one of the assistant without calls, or another turn has `prefix`.
    """
    *earlier, last = request.messages
    for index, message in enumerate(earlier):
        if message.prefix:
            path = f"messages[{index}].prefix"
            raise InvalidRequest(f"{path}: only the last message may have it", param=path)
    given = _KEY if request.continue_final_message is not None else f"chat_template_kwargs.{_KEY}"
    flag = request.continue_final_message
    if flag is None:
        flag = (request.chat_template_kwargs or {}).get(_KEY) is True
    if not (flag or last.prefix):
        return False
    if last.role != "assistant" or last.tool_calls or last.function_call:
        path = f"messages[{len(earlier)}].prefix" if last.prefix else given
        raise InvalidRequest(f"{path}: the last message must be the assistant's, without calls", param=path)
    return True


def without_continuation(template_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """The template's arguments without those that say whether the last turn is continued, if they are booleans."""
    given = dict(template_kwargs or {})
    # vLLM requires the pair.
    if isinstance(given.get(_KEY), bool) and given.pop(_KEY) and given.get("add_generation_prompt") is False:
        del given["add_generation_prompt"]
    return given
