"""The beginnings of prompts as numbers, and those that a replica was sent: the server's guess at its prefix cache.

The server knows no tokens. It divides a prompt into blocks of its text and numbers each beginning that ends with a
block or a message. Two prompts have a number in common if their texts begin alike, up to a collision of 64-bit hashes,
which costs a detour and changes no answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from providers.chat.types import ChatMessage, ChatPrompt, GenerationRequest, ImagePart, TextPrompt, TokenPrompt

__all__ = ["NOTHING", "Match", "Prefixes", "SentPrefixes", "prefixes_of"]

BLOCK = 256
"""Characters of a block."""
TOKENS = 64
"""Token ids of a block, for a prompt that is given as token ids."""
PICTURE = 1024
"""Characters for which a picture counts."""
MAX_BLOCKS = 4096
"""Blocks of a prompt that are looked at: a million characters."""
MAX_SENT = 1 << 16
"""Beginnings that are remembered per replica, about 8 MB."""


class Prefixes(NamedTuple):
    """A prompt's beginnings, the shortest first."""

    keys: list[int]
    lengths: list[int]
    """Characters of each, approximately."""
    answered: bool = True
    """Whether the prompt gets an answer, so that a prompt which begins with all of it continues a conversation."""

    @property
    def total(self) -> int:
        return self.lengths[-1] if self.lengths else 0


class Match(NamedTuple):
    """What a prompt shares with those that a replica was sent."""

    characters: int
    continues: bool
    """Whether it begins with the whole of one of them that got an answer."""


def prefixes_of(request: Any) -> Prefixes:
    """The beginnings of a request's prompt; none of a request whose engine keeps no prompts."""
    if not isinstance(request, GenerationRequest):
        return Prefixes([], [])
    found = Prefixes([], [], not request.prefill_only)
    key, length = hash(request.cache_salt), 0
    for block, characters in _blocks(request.prompt):
        key, length = hash((key, block)), length + characters
        if characters:
            found.keys.append(key)
            found.lengths.append(length)
        if len(found.keys) >= MAX_BLOCKS:
            break
    return found


NOTHING = Match(0, False)


class SentPrefixes:
    """The beginnings of prompts that one replica was sent. The least recently sent are forgotten first."""

    def __init__(self, bound: int = MAX_SENT) -> None:
        self._bound = bound
        self._sent: OrderedDict[int, bool] = OrderedDict()
        """Whether each is the whole of a prompt that got an answer."""

    def __len__(self) -> int:
        return len(self._sent)

    def add(self, prefixes: Prefixes) -> None:
        """Remember a prompt."""
        sent = self._sent
        # The shortest last: a beginning is forgotten only after all that continue it, as `match` requires.
        for key in reversed(prefixes.keys):
            sent.setdefault(key, False)
            sent.move_to_end(key)
        if prefixes.answered and prefixes.keys:
            sent[prefixes.keys[-1]] = True
        while len(sent) > self._bound:
            sent.popitem(last=False)

    def match(self, prefixes: Prefixes) -> Match:
        """What a prompt shares with one that was sent."""
        sent, keys = self._sent, prefixes.keys
        count = bisect_left(keys, True, key=lambda key: key not in sent)
        return Match(prefixes.lengths[count - 1], any(map(sent.__getitem__, keys[:count]))) if count else NOTHING

    def clear(self) -> None:
        """Forget all: the engine has ended, and its cache with it."""
        self._sent.clear()


def _blocks(prompt: ChatPrompt | TextPrompt | TokenPrompt) -> Iterator[tuple[Any, int]]:
    """The blocks of a prompt in their order, each with its length in characters."""
    # What continues a raw prompt continues its last block, which would be another one then.
    if isinstance(prompt, TextPrompt):
        yield from _pieces(prompt.text[: _whole(len(prompt.text), BLOCK)])
    elif isinstance(prompt, TokenPrompt):
        for start in range(0, _whole(len(prompt.tokens), TOKENS), TOKENS):
            block = tuple(prompt.tokens[start : start + TOKENS])
            yield block, 4 * len(block)
    else:
        tools = repr(prompt.tools) if prompt.tools else ""
        yield (tools, repr(prompt.template_kwargs)), len(tools)
        for message in prompt.messages:
            yield from _turn(message)


def _turn(message: ChatMessage) -> Iterator[tuple[Any, int]]:
    calls = repr(message.tool_calls) if message.tool_calls else ""
    yield (message.role, message.name, message.tool_call_id, calls), len(calls)
    content = message.content
    for part in (content,) if isinstance(content, str) else content or ():
        if isinstance(part, ImagePart):
            yield part.digest, PICTURE
        else:
            yield from _pieces(part if isinstance(part, str) else part.text)


def _whole(length: int, block: int) -> int:
    """The length of the whole blocks; of a part, if there is no whole one."""
    return length - length % block or length


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    for start in range(0, len(text), BLOCK):
        piece = text[start : start + BLOCK]
        yield piece, len(piece)
