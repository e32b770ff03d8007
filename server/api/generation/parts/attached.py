"""Parts of users' turns, replaced by what the server reads in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import attrs

from contracts.chat.messages import ChatCompletionRequestMessage
from contracts.messages.request import MessageParam

__all__ = ["has_parts", "with_parts"]

Message = ChatCompletionRequestMessage | MessageParam
M = TypeVar("M", ChatCompletionRequestMessage, MessageParam)

_OTHERS = ("assistant", "tool", "function")
"""Roles whose turns no user wrote."""


def has_parts(messages: Sequence[Message], wanted: type) -> bool:
    """Whether a turn of a user or the system has a part of this class."""
    return any(isinstance(part, wanted) for message in messages for part in _parts(message))


async def with_parts(messages: Sequence[M], wanted: type, replace: Callable[[Any, str], Awaitable[Any]]) -> list[M]:
    """The turns, with what `replace` returns for each such part and its path. Raises as `replace`."""
    return [await _with_parts(turn, f"messages[{index}]", wanted, replace) for index, turn in enumerate(messages)]


async def _with_parts(turn: M, path: str, wanted: type, replace: Callable[[Any, str], Awaitable[Any]]) -> M:
    parts = [*_parts(turn)]
    for place, part in enumerate(parts):
        if isinstance(part, wanted):
            parts[place] = await replace(part, f"{path}.content[{place}]")
    return attrs.evolve(turn, content=parts) if parts else turn


def _parts(message: Message) -> Sequence[Any]:
    return message.content if message.role not in _OTHERS and isinstance(message.content, list) else ()
