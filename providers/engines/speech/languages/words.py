"""Chunks from words and marks in order: punctuation belongs to the word beside it."""

from __future__ import annotations

from collections.abc import Container, Iterable

import attrs

from providers.engines.speech.text.g2p import Chunk

__all__ = ["MARKS", "Part", "collect"]

MARKS = {
    **{mark: mark for mark in '.,;:!?—…"“”()'},
    **dict(zip("，、。．！？：；।॥·", ",,..!?:;..,", strict=True)),
    **dict.fromkeys("「『《〈«„", "“"),
    **dict.fromkeys("」』》〉»", "”"),
    **dict.fromkeys("（【［[{〔", "("),
    **dict.fromkeys("）】］]}〕", ")"),
    **dict.fromkeys("–―〜～", "—"),
}
"""Punctuation as the model knows it."""
_OPENING = frozenset("(“")


@attrs.frozen
class Part:
    """A stretch of a sentence: a word with its phonemes, or a mark, whose `word` is empty."""

    start: int
    end: int
    word: str
    phonemes: str


@attrs.define
class _Gathered:
    """A word with the marks beside it."""

    part: Part
    before: list[Part]
    after: list[Part] = attrs.field(factory=list)

    @property
    def start(self) -> int:
        return (self.before or [self.part])[0].start

    @property
    def end(self) -> int:
        return (self.after or [self.part])[-1].end


def collect(sentence: str, parts: Iterable[Part], vocabulary: Container[str]) -> list[Chunk]:
    """The chunks of a sentence. Words without a phoneme that the model knows are left out.

    Every mark is in one chunk: opening ones in that of the next word, all others in that of the previous one.
    """
    gathered: list[_Gathered] = []
    opening: list[Part] = []
    for part in parts:
        if part.word:
            if _known(part.phonemes, vocabulary):
                gathered.append(_Gathered(part, opening))
                opening = []
        elif part.phonemes in _OPENING or opening or not gathered:
            opening.append(part)
        else:
            gathered[-1].after.append(part)
    if opening and not gathered:
        return []
    if opening:
        gathered[-1].after += opening
    chunks = []
    end = None
    for each in gathered:
        chunks.append(_chunk(sentence, each, vocabulary, joined=end == each.start))
        end = each.end
    return chunks


def _known(phonemes: str, vocabulary: Container[str]) -> str:
    return "".join(symbol for symbol in phonemes if symbol in vocabulary).strip()


def _chunk(sentence: str, gathered: _Gathered, vocabulary: Container[str], *, joined: bool) -> Chunk:
    part = gathered.part
    before = "".join(mark.phonemes for mark in gathered.before if mark.phonemes in _OPENING)
    after = "".join(mark.phonemes for mark in gathered.after if mark.phonemes not in _OPENING)
    return Chunk(
        text=sentence[gathered.start : gathered.end],
        word=part.word,
        phonemes=f"{before}{_known(part.phonemes, vocabulary)}{after}",
        dropped=sum(symbol not in vocabulary for symbol in part.phonemes),
        joined=joined,
    )
