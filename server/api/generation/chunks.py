"""Chunks of a streamed answer: what chat and completions write alike."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from contracts.usage import CompletionUsage
from providers.chat.types import Usage
from server.api.generation.collect import total_usage
from server.api.generation.usage import completion_usage
from server.serialization import converter, encode_contract, encode_json

__all__ = ["SLOT", "ChunkWriter", "encode_text", "text_frame"]

C = TypeVar("C")

SLOT = "\N{OBJECT REPLACEMENT CHARACTER}"
"""The text of a chunk that `text_frame` makes a frame of."""

encode_text = msgspec.json.Encoder().encode


def text_frame(chunk: bytes, key: str) -> tuple[bytes, bytes]:
    """The bytes before and after the text in a chunk whose `key` holds `SLOT`.

    The key is searched together with its value. No JSON string, such as the name of a model, can hold both unescaped.
    """
    slot = encode_text(SLOT)
    before, found, after = chunk.partition(encode_text(key) + b":" + slot)
    return before + found.removesuffix(slot), after


class ChunkWriter(ABC, Generic[C]):
    """Writes chunks of the choices `C` as `data:` messages, with usage at their end.

    `include_usage` is `stream_options.include_usage`: see `StreamOptions`. As with OpenAI, every chunk before the last
    then carries `"usage": null`. There are `answers`, `n` to each prompt. Each ends with a finish chunk of its own, and
    usage comes with the last of these.
    """

    def __init__(self, *, include_usage: bool | None, answers: int, n: int) -> None:
        self._include_usage = include_usage
        self._answers = answers
        self._n = n
        self._usages: dict[int, Usage] = {}

    @property
    def _context_tokens(self) -> int | None:
        """Prompt tokens that are passages of files; None: nothing was searched."""
        return None

    @abstractmethod
    def _chunk(self, choices: list[C], usage: CompletionUsage | None) -> Any:
        """The contract of a chunk."""

    def _written(self, choices: list[C]) -> bytes:
        """A chunk without usage."""
        before, after = self._around
        return before + b",".join(map(encode_contract, choices)) + after

    @functools.cached_property
    def _around(self) -> tuple[bytes, bytes]:
        """The bytes before and after the choices of a chunk, which are the same in all."""
        before, found, after = self._framed(self._chunk([], None)).partition(b'"choices":[]')
        return before + found[:-1], found[-1:] + after

    def _framed(self, chunk: Any) -> bytes:
        fields = converter.unstructure(chunk)
        if self._include_usage:
            fields.setdefault("usage", None)
        return b"data: " + encode_json(fields) + b"\n\n"

    def _finished(self, choice: C, index: int, usage: Usage) -> bytes:
        """The finish chunk of the answer `index`, and the usage of all answers where it is the last."""
        self._usages[index] = usage
        if len(self._usages) < self._answers:
            return self._written([choice])
        total = completion_usage(total_usage(self._in_order(), self._n), self._context_tokens)
        if self._include_usage is None:
            return self._framed(self._chunk([choice], total))
        finish = self._written([choice])
        return finish + self._framed(self._chunk([], total)) if self._include_usage else finish

    def _in_order(self) -> Sequence[Usage]:
        return [self._usages[index] for index in range(self._answers)]
