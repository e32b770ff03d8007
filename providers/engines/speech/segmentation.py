"""Cuts a text into pieces to synthesise: sentences, or clauses of long ones. Every word is in exactly one piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from providers.engines.speech.text.g2p import PAUSES, Chunk

__all__ = ["Piece", "cut"]

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
        return " ".join(chunk.text for chunk in self.chunks)

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


def cut(sentences: Sequence[Sequence[Chunk]]) -> list[Piece]:
    """The pieces of a text, in order. Every chunk is in one of them.

    A pause that the client asks for ends a piece. One at the beginning is a piece without words.
    """
    pieces: list[Piece] = []
    waiting: list[Sequence[Chunk]] = []
    for sentence in sentences:
        silent = not any(chunk.text for chunk in sentence)
        if not silent:
            waiting.append(sentence)
        if sentence[-1].pauses:
            pieces += _pieces(waiting, is_first=not pieces)
            waiting.clear()
            if silent and pieces:
                pieces[-1] = attrs.evolve(pieces[-1], rest=(pieces[-1].rest or 0) + (sentence[-1].rest or 0))
            elif silent and sentence[-1].rest:
                pieces.append(Piece(tuple(sentence), rest=sentence[-1].rest))
    return pieces + _pieces(waiting, is_first=not pieces)


def _pieces(sentences: Sequence[Sequence[Chunk]], *, is_first: bool) -> list[Piece]:
    pieces: list[Piece] = []
    for sentence in _joined(sentences):
        parts = list(_clauses(list(sentence), FIRST if is_first and not pieces else LONG, LONG))
        pieces += [Piece(tuple(part), ends_sentence=False) for part in parts[:-1]]
        pieces.append(Piece(tuple(parts[-1]), rest=parts[-1][-1].rest))
    return pieces


def _joined(sentences: Sequence[Sequence[Chunk]]) -> Iterator[list[Chunk]]:
    """The sentences. Those that are too short are joined with the next, the last one with the one before."""
    waiting: list[Chunk] = []
    kept: list[Chunk] | None = None
    for sentence in sentences:
        waiting += sentence
        if _length(waiting) < SHORTEST:
            continue
        if kept is not None:
            yield kept
        kept, waiting = waiting, []
    if kept is None:
        if waiting:
            yield waiting
    else:
        yield kept + waiting


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
