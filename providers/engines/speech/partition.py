"""What became of each character of an input: a part of a word, a mark, silence, or letters that could not be said."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

import attrs

from providers.speech.types import Unspoken

__all__ = ["Kind", "Part", "partition", "script_of", "unspoken"]

Kind = Literal["word", "mark", "silence", "unspoken"]

_SCRIPTS = {"CJK": "Han", "IDEOGRAPHIC": "Han", "KANGXI": "Han", "BOPOMOFO": "Bopomofo", "HALFWIDTH": "Katakana"}


@attrs.frozen
class Part:
    """A stretch of the input."""

    kind: Kind
    start: int
    end: int


def partition(source: str, words: Iterable[tuple[int, int]], marks: Iterable[tuple[int, int]]) -> list[Part]:
    """The parts of the input, contiguous and in order: each character is in exactly one.

    A mark within a word belongs to the word. Letters and digits that are in none of both could not be said.

    Args:
        words: the stretches of the words, equal or disjoint.
        marks: the stretches that are silent, in any order.
    """
    kinds = bytearray(len(source))
    for start, end in marks:
        kinds[start:end] = b"\2" * (end - start)
    stretches = sorted(set(words))
    for start, end in stretches:
        kinds[start:end] = b"\1" * (end - start)
    for at, kind in enumerate(kinds):
        if kind == 0 and _is_said(source[at], at > 0 and kinds[at - 1] == 3):
            kinds[at] = 3
    borders = {start for start, _ in stretches}
    names: tuple[Kind, ...] = ("silence", "word", "mark", "unspoken")
    parts: list[Part] = []
    start = 0
    for kind, run in itertools.groupby(kinds):
        end = start + sum(1 for _ in run)
        if kind == 1:
            inner = [start, *(at for at in range(start + 1, end) if at in borders), end]
            parts += [Part("word", one, other) for one, other in itertools.pairwise(inner)]
        else:
            parts.append(Part(names[kind], start, end))
        start = end
    return parts


def unspoken(source: str, parts: Sequence[Part]) -> list[Unspoken]:
    """The letters that could not be said."""
    return [Unspoken(source[part.start : part.end], part.start, part.end) for part in parts if part.kind == "unspoken"]


def script_of(character: str) -> str:
    """The name of the script of a letter, such as `Han` or `Cyrillic`."""
    name = unicodedata.name(character, "unknown").split(maxsplit=1)[0].split("-")[0]
    return _SCRIPTS.get(name, name.capitalize())


def _is_said(character: str, after_unspoken: bool) -> bool:
    """Whether a character should be said: a letter or a number, or a sign that belongs to the letter before it."""
    if character.isascii():
        return character.isalnum()
    if character.isalnum() or character.isnumeric():
        return True
    return after_unspoken and unicodedata.category(character) in ("Mn", "Mc")
