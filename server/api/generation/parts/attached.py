"""Parts of turns, replaced by what the server reads in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import attrs

from contracts.chat.messages import ChatCompletionRequestMessage
from contracts.messages.blocks import ToolResultBlock
from contracts.messages.request import MessageParam

__all__ = ["has_parts", "with_parts"]

Message = ChatCompletionRequestMessage | MessageParam
M = TypeVar("M", ChatCompletionRequestMessage, MessageParam)
Replace = Callable[[Any, str, bool], Awaitable[Any]]
"""Gets a part, its path, and whether it is the client's own; False: a tool returned it. Returns what replaces it."""

_TOOLS = ("tool", "function")


def has_parts(messages: Sequence[Message], wanted: type, *, own: bool = False) -> bool:
    """Whether a turn has a part of this class, except turns of the assistant. `own`: tools' results do not count."""
    for message in messages:
        mine = message.role not in _TOOLS
        if not mine and own:
            continue
        for part in _parts(message):
            nested = [] if own else _returned(part)
            if isinstance(part, wanted) or any(isinstance(each, wanted) for each in nested):
                return True
    return False


async def with_parts(messages: Sequence[M], wanted: type, replace: Replace) -> list[M]:
    """The turns, with what `replace` returns for each such part, except in turns of the assistant. Raises as
    `replace`."""
    return [await _with_parts(turn, f"messages[{index}]", wanted, replace) for index, turn in enumerate(messages)]


async def _with_parts(turn: M, path: str, wanted: type, replace: Replace) -> M:
    parts = _parts(turn)
    if not parts:
        return turn
    return attrs.evolve(
        turn, content=await _replaced(parts, f"{path}.content", wanted, replace, own=turn.role not in _TOOLS)
    )


async def _replaced(parts: Sequence[Any], path: str, wanted: type, replace: Replace, *, own: bool) -> list[Any]:
    replaced: list[Any] = []
    for place, part in enumerate(parts):
        here = f"{path}[{place}]"
        if isinstance(part, wanted):
            part = await replace(part, here, own)
        elif nested := _returned(part):
            part = attrs.evolve(part, content=await _replaced(nested, f"{here}.content", wanted, replace, own=False))
        replaced.append(part)
    return replaced


def _returned(part: Any) -> Sequence[Any]:
    """The parts of a tool's result in a turn."""
    return part.content if isinstance(part, ToolResultBlock) and isinstance(part.content, list) else ()


def _parts(message: Message) -> Sequence[Any]:
    return message.content if message.role != "assistant" and isinstance(message.content, list) else ()
