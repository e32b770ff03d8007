"""Text that knows where it comes from: each character has the stretch of the input that it was made of.

The normalisation of a language is a series of replacements. `Mapped.sub` replaces as `re.sub` does, and keeps the
offsets: replaced characters have the stretch of those that they replace. Offsets count Unicode code points.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping

import attrs

__all__ = ["Mapped", "Replacement"]


@attrs.frozen(eq=False)
class Mapped:
    """Characters and their stretches of the input, which are in order.

    An inserted character has an empty stretch: its offsets are equal.
    """

    text: str
    starts: list[int]
    ends: list[int]

    @classmethod
    def of(cls, text: str, start: int = 0) -> Mapped:
        """The text that is at this offset of the input."""
        return cls(text, list(range(start, start + len(text))), list(range(start + 1, start + len(text) + 1)))

    @classmethod
    def joined(cls, parts: Iterable[Mapped]) -> Mapped:
        text, starts, ends = [], list[int](), list[int]()
        for part in parts:
            text.append(part.text)
            starts += part.starts
            ends += part.ends
        return cls("".join(text), starts, ends)

    @classmethod
    def made_of(cls, text: str, start: int, end: int) -> Mapped:
        """A text that stands for the whole stretch."""
        return cls(text, [start] * len(text), [end] * len(text))

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, at: slice) -> Mapped:
        return Mapped(self.text[at], self.starts[at], self.ends[at])

    def stretch(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of the input from which the characters from `start` to `end`, at least one, were made."""
        return min(self.starts[start:end]), max(self.ends[start:end])

    def strip(self) -> Mapped:
        begin = len(self.text) - len(self.text.lstrip())
        return self[begin : max(begin, len(self.text.rstrip()))]

    def ended(self, mark: str) -> Mapped:
        """The text with a mark at its end that the input does not have."""
        end = self.ends[-1] if self.ends else 0
        return Mapped(self.text + mark, [*self.starts, *[end] * len(mark)], [*self.ends, *[end] * len(mark)])

    def translate(self, table: Mapping[int, str]) -> Mapped:
        """Replace single characters by single characters."""
        return attrs.evolve(self, text=self.text.translate(table))

    def each(self, spoken: Callable[[str], str]) -> Mapped:
        """Replace every character by the text that the function returns for it."""
        text = [spoken(character) for character in self.text]
        starts = [start for start, new in zip(self.starts, text, strict=True) for _ in new]
        ends = [end for end, new in zip(self.ends, text, strict=True) for _ in new]
        return Mapped("".join(text), starts, ends)

    def replace(self, old: str, new: str) -> Mapped:
        return self.sub(re.compile(re.escape(old)), lambda _: new) if old in self.text else self

    def sub(self, pattern: re.Pattern[str], replacement: str | Replacement) -> Mapped:
        """Replace every match. Words that a match and its replacement begin or end with in common keep their stretches.

        Args:
            replacement: text, as in `re.sub`, or a function that returns one, or characters with their stretches.
        """
        parts: list[Mapped] = []
        at = 0
        for match in pattern.finditer(self.text):
            new = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
            if new == match[0]:
                continue
            if isinstance(new, str):
                new = self._instead(match.start(), match.end(), new)
            parts += [self[at : match.start()], new]
            at = match.end()
        return Mapped.joined([*parts, self[at:]]) if parts else self

    def composed(self) -> Mapped:
        """The text in NFC."""
        if unicodedata.is_normalized("NFC", self.text):
            return self
        return self.sub(_CLUSTER, lambda match: unicodedata.normalize("NFC", match[0]))

    def _instead(self, start: int, end: int, new: str) -> Mapped:
        """The new text, which replaces the characters from `start` to `end`."""
        old = self.text[start:end]
        core = new.strip()
        before = len(new) - len(new.lstrip())
        head, tail = _common(old, core)
        rest = old[head : len(old) - tail]
        if not rest.strip() and any(map(str.isalnum, core[head : len(core) - tail])):
            head = tail = 0  # an inserted word stands for all that it was inserted in
            rest = old
        border = self.starts[start] if start < len(self.starts) else (self.ends[-1] if self.ends else 0)
        finish = self.ends[end - 1] if end > start else border
        if rest.strip():
            left = start + head + len(rest) - len(rest.lstrip())
            first, last = self.stretch(left, left + len(rest.strip()))
        else:
            first = last = self.ends[start + head - 1] if head else border
        return Mapped.joined(
            (
                Mapped.made_of(new[:before], border, border),
                self[start : start + head],
                Mapped.made_of(core[head : len(core) - tail], first, last),
                self[end - tail : end],
                Mapped.made_of(new[before + len(core) :], finish, finish),
            )
        )


Replacement = Callable[[re.Match[str]], str | Mapped]

_CLUSTER = re.compile(
    r".[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0dff\u1160-\u11ff\u3099\u309a]+",
    re.DOTALL,
)
"""A character and those that may compose with it."""


def _common(old: str, new: str) -> tuple[int, int]:
    """The lengths of the words that two texts begin with, and end with, in common."""
    head = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        head += 1
    while head and not (_is_border(old, head) and _is_border(new, head)):
        head -= 1
    most = min(len(old), len(new)) - head
    tail = 0
    while tail < most and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    while tail and not (_is_border(old, len(old) - tail) and _is_border(new, len(new) - tail)):
        tail -= 1
    return head, tail


def _is_border(text: str, at: int) -> bool:
    return at in (0, len(text)) or not (text[at - 1].isalnum() and text[at].isalnum())
