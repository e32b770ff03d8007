"""Orders of turns for chat templates that refuse a conversation as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["gathered_system", "turn_orders"]

Turn = dict[str, Any]

_SYSTEM = ("system", "developer")
_EMPTY_USER: Mapping[str, Any] = {"role": "user", "content": ""}


def turn_orders(messages: Sequence[Mapping[str, Any]]) -> Iterator[list[Turn]]:
    """The conversation in other orders, the one that changes least first. None is the conversation itself.

    Templates require the system message to be first, a turn of the user to be there or to come first, or roles to
    alternate; some have no system message. Clients insert system messages anywhere, and cut the first turns away.
    """
    gathered = gathered_system(messages)
    begun = _begun_by_user(gathered)
    alternating = _alternating(begun)
    orders = [gathered, begun, alternating, _folded(alternating)]
    tried = [[dict(message) for message in messages]]
    for order in [*orders, *map(_ended_by_user, orders)]:
        if order not in tried:
            tried.append(order)
            yield order


def gathered_system(messages: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """The conversation with one system message, in front."""
    texts = [message["content"] for message in messages if message["role"] in _SYSTEM]
    others = [dict(message) for message in messages if message["role"] not in _SYSTEM]
    return [{"role": "system", "content": _joined(texts)}, *others] if texts else others


def _begun_by_user(turns: list[Turn]) -> list[Turn]:
    first = 1 if turns and turns[0]["role"] == "system" else 0
    if first < len(turns) and turns[first]["role"] == "user":
        return turns
    return [*turns[:first], dict(_EMPTY_USER), *turns[first:]]


def _ended_by_user(turns: list[Turn]) -> list[Turn]:
    return turns if turns and turns[-1]["role"] == "user" else [*turns, dict(_EMPTY_USER)]


def _alternating(turns: list[Turn]) -> list[Turn]:
    """Adjacent turns of one role become one, unless they have more than text."""
    merged: list[Turn] = []
    for turn in turns:
        if merged and _is_plain(turn) and _is_plain(merged[-1]) and merged[-1]["role"] == turn["role"]:
            merged[-1] = {**merged[-1], "content": _joined((merged[-1]["content"], turn["content"]))}
        else:
            merged.append(turn)
    return merged


def _is_plain(turn: Turn) -> bool:
    return set(turn) <= {"role", "content"}


def _folded(turns: list[Turn]) -> list[Turn]:
    """The system message becomes the beginning of the first turn, which is the user's."""
    if not turns or turns[0]["role"] != "system":
        return turns
    system, user, *others = turns
    return [{**user, "content": _joined((system["content"], user["content"]))}, *others]


def _joined(texts: Sequence[str]) -> str:
    return "\n\n".join(filter(None, texts))
