"""Marks such as `[1]` in an answer, which cite the passages of its prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Generic, TypeVar

import attrs

__all__ = ["Cited", "Marks", "cited"]

P = TypeVar("P")

_MARK = re.compile(r"\[(\d{1,3}(?:\s?,\s?\d{1,3})*)\]")
_LONGEST = 64
"""Characters of a mark at most. A bracket that is open for longer is no mark."""


@attrs.frozen
class Cited(Generic[P]):
    """A citation: the offset of its mark in the text, in characters, and what it cites."""

    index: int
    passage: P


class Marks(Generic[P]):
    """Finds the marks of a text that arrives in pieces. Numbers count the `passages` from 1; others are no marks.

    `[1, 2]` cites two passages at one offset.
    """

    def __init__(self, passages: Sequence[P]) -> None:
        self._passages = passages
        self._rest = ""
        self._start = 0
        """Offset of `_rest`, in which a mark may have begun."""

    def add(self, piece: str) -> list[Cited[P]]:
        """Add a piece. Returns the citations that it completes."""
        if not self._passages:
            return []
        text = self._rest + piece
        found = [
            Cited(self._start + mark.start(), self._passages[number - 1])
            for mark in _MARK.finditer(text)
            for number in map(int, mark.group(1).split(","))
            if 0 < number <= len(self._passages)
        ]
        opened = text.rfind("[")
        kept = opened if opened > text.rfind("]") and len(text) - opened < _LONGEST else len(text)
        self._rest = text[kept:]
        self._start += kept
        return found


def cited(text: str, passages: Sequence[P]) -> list[Cited[P]]:
    """The citations of a whole text."""
    return Marks(passages).add(text)
