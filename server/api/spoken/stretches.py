"""Cuts a growing text into stretches to speak, as soon as their ends are certain."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

__all__ = ["Stretch", "StretchCutter", "clauses", "letters"]

SHORTEST = 12
"""Letters and digits. A shorter stretch is spoken together with the next: voices speak very short ones badly."""
LONGEST = 320
"""Characters, about 20 seconds of speech. A longer stretch is cut between clauses, or else between words."""

_END = re.compile(r"""[.!?\u2026]["'\u201d\u2019\u00bb)\]*_`]*$""")
"""The end of a sentence, with what may close it."""
_WIDE_END = frozenset("\u3002\uff01\uff1f")
"""The ends of a sentence in scripts without spaces."""
_CLAUSE = re.compile(r"""[,;:\u2013\u2014]["'\u201d\u2019\u00bb)\]*_]*$|\s-$""")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Mt|Jr|Sr|Gen|Col|Rev|No|Nos|Fig|Vol|vs|cf|approx|e\.g|i\.e|U\.S|a\.m|p\.m)"
    r"\.$"
)
_LIST_MARK = re.compile(r"(?:^|\n)[ \t]*\d{1,3}\.$")
_FENCE = re.compile(r"[ ]{0,3}(```+|~~~+)")


@attrs.frozen
class Stretch:
    """Consecutive characters of a text. `start` is the number of characters before them."""

    text: str
    start: int


class StretchCutter:
    """Cuts one text. The stretches, concatenated, are the text.

    A stretch ends with a sentence, a line or a paragraph. With `clauses`, the first one ends with its first clause, so
    that the voice begins early. A fenced block is not cut.
    """

    def __init__(self, *, clauses: bool = True) -> None:
        self._clauses = clauses
        self._text = ""
        self._start = 0
        self._at = 0
        """The characters of `_text` that were looked at."""
        self._line = 0
        """Where the current line begins in `_text`; before its beginning if a cut removed it."""
        self._fence = ""
        self._clause = self._space = 0
        """The places after the last clause and after the last word."""

    def feed(self, text: str) -> Iterator[Stretch]:
        """Append text. Yields the stretches that end before its end."""
        self._text += text
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in _WIDE_END or character.isspace():
                yield from self._ended(character)
            self._at += 1

    def finish(self) -> Iterator[Stretch]:
        """The rest of the text."""
        if self._text:
            yield self._cut(len(self._text))

    def _ended(self, character: str) -> Iterator[Stretch]:
        """The stretch that ends with this white space or full stop, if one does."""
        if character == "\n":
            ends = self._line_ended()
            self._line = self._at + 1
        elif self._fence:
            return
        else:
            ends = self._sentence_ended(character)
        place = self._at + 1
        if ends and letters(self._text[:place]) >= SHORTEST:
            yield self._cut(place)
        elif place > LONGEST and not self._fence:
            yield self._cut(self._clause or self._space or place)
        else:
            self._space = place

    def _line_ended(self) -> bool:
        """Follow the fences. Whether a stretch may end with the line."""
        fence = _FENCE.match(self._text, max(self._line, 0), self._at)
        if fence is None:
            return not self._fence
        if not self._fence:
            self._fence = fence[1]
            return False
        if fence[1].startswith(self._fence):
            self._fence = ""
        return not self._fence

    def _sentence_ended(self, character: str) -> bool:
        if character in _WIDE_END:
            return True
        before = self._text[max(0, self._at - 24) : self._at]
        if _END.search(before):
            return not (_ABBREVIATION.search(before) or _LIST_MARK.search(before))
        if _CLAUSE.search(before):
            self._clause = self._at + 1
            return self._clauses and self._start == 0
        return False

    def _cut(self, place: int) -> Stretch:
        stretch = Stretch(self._text[:place], self._start)
        self._text = self._text[place:]
        self._start += place
        self._at -= place
        self._line -= place
        self._clause = self._space = 0
        return stretch


def clauses(text: str) -> Iterator[Stretch]:
    """The clauses of a text, each as long as a first stretch. Concatenated, they are the text."""
    start = 0
    while start < len(text):
        cutter = StretchCutter()
        rest = text[start:]
        clause = next(iter([*cutter.feed(rest), *cutter.finish()]))
        yield Stretch(clause.text, start)
        start += len(clause.text)


def letters(text: str) -> int:
    """The number of letters and digits."""
    return sum(character.isalnum() for character in text)
