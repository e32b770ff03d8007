"""Cuts a text into pieces to synthesise: sentences, or clauses of long ones. Every word is in exactly one piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from providers.engines.speech.text.g2p import PAUSES, Chunk

__all__ = ["FIRST", "LONG", "Piece", "cut", "pieces_of"]

SHORTEST = 12
"""Phonemes. A shorter sentence is spoken together with the next, because the model speaks short ones badly."""
CLAUSE = 15
"""A clause that is cut off has at least this many phonemes."""
FIRST = 60
"""If the first sentence is longer, its first clause is a piece of its own, so that the voice begins early."""
LONG = 180
"""A longer sentence is cut between clauses. This many phonemes take about 12 seconds."""
LONGEST = 400
"""A piece that is longer is cut between words. The model takes 510, and rushes over the end of such a long piece."""


@attrs.frozen
class Piece:
    """Chunks that are synthesised together. `ends_sentence`: whether the next piece begins another sentence."""

    chunks: tuple[Chunk, ...]
    ends_sentence: bool = True
    rest: float | None = None
    """Seconds of silence after it, where the text wants more than the end of a sentence does."""

    @property
    def text(self) -> str:
        return "".join(chunk.text if chunk.joined else f" {chunk.text}" for chunk in self.chunks).strip()

    @property
    def start_char(self) -> int:
        """Where the piece's stretch of the input begins, in Unicode code points."""
        return min((chunk.first_char for chunk in self.chunks), default=0)

    @property
    def end_char(self) -> int:
        """Where that stretch ends."""
        return max((chunk.last_char for chunk in self.chunks), default=0)

    @property
    def symbols(self) -> tuple[str, list[int]]:
        """The phonemes with a space between chunks, and for each symbol the number of its chunk; -1 for the spaces."""
        symbols: list[str] = []
        owners: list[int] = []
        for number, chunk in enumerate(self.chunks):
            if chunk.phonemes:
                if symbols:
                    symbols.append(" ")
                    owners.append(-1)
                symbols += chunk.phonemes
                owners += [number] * len(chunk.phonemes)
        return "".join(symbols), owners


def cut(sentences: Iterable[Sequence[Chunk]], *, first: int = FIRST) -> list[Piece]:
    """All of `pieces_of`."""
    return list(pieces_of(sentences, first=first))


def pieces_of(sentences: Iterable[Sequence[Chunk]], *, first: int = FIRST) -> Iterator[Piece]:
    """The pieces of a text, in order. Every chunk is in one of them. Reads at most a few sentences ahead.

    A pause that the client asks for ends a piece. One at the beginning is a piece without words.

    Args:
        first: the most phonemes of the first piece, where its sentence has a place to cut.
    """
    limit = first
    kept: Piece | None = None  # until it is known which pause follows it
    for sentence in _joined(sentences):
        rest = sentence[-1].rest
        if not _is_silent(sentence):
            parts = list(_clauses(sentence, limit, LONG))
            if kept is not None:
                yield kept
            yield from (Piece(tuple(part), ends_sentence=False) for part in parts[:-1])
            kept = Piece(tuple(parts[-1]), rest=parts[-1][-1].rest)
        elif kept is not None:
            kept = attrs.evolve(kept, rest=(kept.rest or 0) + (rest or 0))
        elif rest:
            kept = Piece(tuple(sentence), rest=rest)
        if kept is not None:
            limit = LONG
    if kept is not None:
        yield kept


def _joined(sentences: Iterable[Sequence[Chunk]]) -> Iterator[list[Chunk]]:
    """The sentences, and the pauses between them. Sentences that are too short are joined with the next, those before
    a pause and the last one with the one before."""
    waiting: list[Chunk] = []
    kept: list[Chunk] = []
    for sentence in sentences:
        silent = _is_silent(sentence)
        if not silent:
            waiting += sentence
            if _length(waiting) >= SHORTEST:
                if kept:
                    yield kept
                kept, waiting = waiting, []
        if sentence[-1].pauses:
            if kept or waiting:
                yield kept + waiting
            kept, waiting = [], []
            if silent:
                yield list(sentence)
    if kept or waiting:
        yield kept + waiting


def _is_silent(sentence: Sequence[Chunk]) -> bool:
    return not any(chunk.text for chunk in sentence)


def _clauses(chunks: list[Chunk], limit: int, next_limit: int) -> Iterator[list[Chunk]]:
    """Cut as long as the rest is longer than the limit and has a place to cut."""
    while _length(chunks) > limit:
        at = _clause_end(chunks, limit)
        if at is None and _length(chunks) > LONGEST:
            at = _last_within(chunks, LONGEST)
        if at is None:
            break
        yield chunks[:at]
        chunks, limit = chunks[at:], next_limit
    yield chunks


def _clause_end(chunks: Sequence[Chunk], limit: int) -> int | None:
    """The number of chunks up to the end of the last clause that fits, or else of the first that does not."""
    borders = []
    left, whole = 0, _length(chunks)
    for number, chunk in enumerate(chunks[:-1], 1):
        left += _size(chunk)
        if chunk.phonemes and chunk.phonemes[-1] in PAUSES and left >= CLAUSE and whole - left >= CLAUSE:
            borders.append((number, left))
    fitting = [number for number, left in borders if left <= limit]
    if fitting:
        return fitting[-1]
    return borders[0][0] if borders and borders[0][1] <= LONGEST else None


def _last_within(chunks: Sequence[Chunk], limit: int) -> int:
    left = 0
    for number, chunk in enumerate(chunks):
        left += _size(chunk)
        if left > limit and number:
            return number
    return len(chunks)


def _size(chunk: Chunk) -> int:
    return len(chunk.phonemes) + 1


def _length(chunks: Sequence[Chunk]) -> int:
    return sum(_size(chunk) for chunk in chunks)
