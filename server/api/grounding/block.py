"""Passages in a prompt: a block of text in front of a user's turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import structs

from providers.chat.types import ChatMessage, ChatPrompt, Content, TextPart, content_text
from server.retrieval.passages import Passage

__all__ = ["behind", "last_user_text", "named_texts", "with_block", "with_passages"]

_HEAD = "Passages from files, by number:"
_USE = "Use these passages where they help to answer the message below."
_CITE = "Cite each passage that you use by its number in brackets, such as [1]."


def with_block(passages: Iterable[tuple[str, str]], text: str, *, cite: bool = True) -> str:
    """The text of a turn behind a block of the passages, which are names of files and texts.

    Equal passages give equal text. Without passages the turn stays as it is. `cite` asks for the passages' numbers.
    """
    blocks = [
        f"[{number}] {' '.join(name.split())}\n{passage.strip()}" for number, (name, passage) in enumerate(passages, 1)
    ]
    if not blocks:
        return text
    return "\n\n".join([_HEAD, *blocks, f"{_USE} {_CITE}" if cite else _USE, text])


def behind(passages: Sequence[tuple[str, str]], content: Content, *, cite: bool) -> Content:
    """As `with_block`, of a turn that may have pictures."""
    if isinstance(content, str):
        return with_block(passages, content, cite=cite)
    return [TextPart(with_block(passages, "", cite=cite).rstrip()), *content]


def named_texts(passages: Sequence[Passage]) -> list[tuple[str, str]]:
    """The name of the file and the text of each passage."""
    return [(passage.filename, passage.text) for passage in passages]


def with_passages(prompt: ChatPrompt, passages: Sequence[Passage], *, cite: bool) -> ChatPrompt:
    """The prompt with a block in front of its last user turn. Earlier turns stay the same."""
    place = _last_user(prompt.messages)
    if place is None or not passages:
        return prompt
    messages = [*prompt.messages]
    turn = messages[place]
    content = behind(named_texts(passages), turn.content or "", cite=cite)
    messages[place] = structs.replace(turn, content=content)
    return structs.replace(prompt, messages=messages)


def last_user_text(prompt: ChatPrompt) -> str:
    """The text of the last user turn. Empty: there is none."""
    place = _last_user(prompt.messages)
    return "" if place is None else content_text(prompt.messages[place].content)


def _last_user(messages: Sequence[ChatMessage]) -> int | None:
    return next((place for place in reversed(range(len(messages))) if messages[place].role == "user"), None)
