"""Turns of a conversation, from the wire to the form that chat templates read."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.chat.messages import (
    ChatCompletionRequestMessage,
    ChatCompletionRequestMessageContentPartRefusal,
    ChatCompletionRequestMessageContentPartText,
    ContentPart,
)
from contracts.chat.tools import ChatCompletionMessageToolCall
from providers.chat.types import ChatMessage
from providers.errors import InvalidRequest, UnsupportedParameter

__all__ = ["call_arguments", "to_chat_messages"]


def to_chat_messages(messages: list[ChatCompletionRequestMessage]) -> list[ChatMessage]:
    """Translate turns. Chat templates read `developer` as `system`.

    Raises:
        InvalidRequest: a turn lacks a field that its role requires.
        UnsupportedParameter: a turn holds content that this server cannot read: an image, audio, a file.
    """
    return [_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _message(message: ChatCompletionRequestMessage, path: str) -> ChatMessage:
    for name in ("function_call", "audio"):
        if getattr(message, name) is not None:
            raise UnsupportedParameter(f"{path}.{name} is not supported", param=f"{path}.{name}")
    _check_role(message, path)
    return ChatMessage(
        role="system" if message.role == "developer" else message.role,
        content=_content(message, path),
        name=message.name,
        tool_calls=[_tool_call(call) for call in message.tool_calls] if message.tool_calls else None,
        tool_call_id=message.tool_call_id,
        reasoning_content=message.reasoning_content,
    )


def _check_role(message: ChatCompletionRequestMessage, path: str) -> None:
    """Check the fields that only some roles have. In other turns a template would drop them silently."""
    if message.role == "tool" and message.tool_call_id is None:
        raise _invalid(f"{path}.tool_call_id", "required in a message of role 'tool'")
    if message.role != "tool" and message.tool_call_id is not None:
        raise _invalid(f"{path}.tool_call_id", "only a message of role 'tool' may have it")
    if message.role != "assistant":
        for name in ("tool_calls", "refusal", "reasoning_content"):
            if getattr(message, name) is not None:
                raise _invalid(f"{path}.{name}", "only a message of role 'assistant' may have it")


def _content(message: ChatCompletionRequestMessage, path: str) -> str | None:
    if message.content is None:
        if message.role == "assistant" and message.refusal is not None:
            return message.refusal
        if message.role == "assistant" and message.tool_calls:
            return None
        raise _invalid(f"{path}.content", "required, but missing")
    if isinstance(message.content, str):
        return message.content
    if not message.content:
        raise _invalid(f"{path}.content", "must not be empty")
    return "\n".join(_text(part, f"{path}.content[{index}]") for index, part in enumerate(message.content))


def _text(part: ContentPart, path: str) -> str:
    if isinstance(part, ChatCompletionRequestMessageContentPartText):
        return part.text
    if isinstance(part, ChatCompletionRequestMessageContentPartRefusal):
        return part.refusal
    raise UnsupportedParameter(
        f"{path}: content of type {part.type!r} is not supported by this model; send text", param=f"{path}.type"
    )


def _tool_call(call: ChatCompletionMessageToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": call.type,
        "function": {"name": call.function.name, "arguments": call_arguments(call.function.arguments)},
    }


def call_arguments(text: str) -> Any:
    """The arguments of an earlier call as an object, which chat templates expect; text that is none stays text."""
    try:
        decoded = msgspec.json.decode(text)
        msgspec.msgpack.encode(decoded)  # a value that a frame cannot carry (integers over 64 bits) stays text as well
    except (ValueError, OverflowError, RecursionError):
        return text
    return decoded if isinstance(decoded, dict) else text


def _invalid(path: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: {what}", param=path)
