"""A piece of text whose rhythm and melody are computed, and whose samples are decoded as a whole or part by part."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from providers.engines.speech.kokoro.model import FRAME_SAMPLES, Prepared
from providers.engines.speech.pacing import next_cut
from providers.engines.speech.segmentation import Piece
from providers.engines.speech.timing import Border, Layout, Timed
from providers.speech.types import SAMPLE_RATE, WordSpan

__all__ = ["Decoder", "Part", "Sentence"]

_REST = SAMPLE_RATE * 3 // 10
"""Silence after a sentence."""
_CLAUSE_REST = SAMPLE_RATE // 10
"""Silence after a clause whose sentence continues."""
_FADE = SAMPLE_RATE // 200
"""Samples over which one part fades into the next."""
_ENERGY_STEP = FRAME_SAMPLES // 2
"""Samples per value of the energy curve."""


class Decoder(Protocol):
    """Makes the samples of prepared sentences."""

    def decode(self, prepared: Prepared, start: int, stop: int) -> NDArray[np.float32]: ...


@attrs.frozen(eq=False)
class Part:
    """The next samples of a sentence, with the chunks that they say."""

    piece: Piece
    timed: Timed
    last: bool


class Sentence:
    """Decodes one piece. Only for the MLX thread."""

    def __init__(self, piece: Piece, prepared: Prepared) -> None:
        symbols, owners = piece.symbols
        words = [
            WordSpan(chunk.word, 0, 0, chunk.written, chunk.start_char, chunk.end_char, "ˈ" in chunk.phonemes)
            for chunk in piece.chunks
        ]
        self._piece = piece
        self._prepared = prepared
        self._layout = Layout(prepared.frames, symbols, owners, words)
        self._asked = None if piece.rest is None else round(piece.rest * SAMPLE_RATE)
        self._rest = _REST if piece.ends_sentence else _CLAUSE_REST
        if self._asked is not None:
            self._rest = max(self._asked, _CLAUSE_REST)
        self._start, self._end = self._layout.audible(self._rest)
        self._at = self._start
        self._chunk = 0
        self._tail: NDArray[np.float32] | None = None

    @property
    def left(self) -> float:
        """Seconds of sound that are not decoded yet."""
        return (self._end - self._at) / SAMPLE_RATE

    def whole(self, decoder: Decoder) -> Part:
        """All samples."""
        samples = decoder.decode(self._prepared, 0, self._prepared.samples)[self._start : self._end]
        return Part(self._piece, self._ended(samples, self._start), True)

    def next(self, decoder: Decoder, wanted: tuple[float, float]) -> Part:
        """The next part. `wanted` is as in `next_cut`."""
        cut = next_cut(self._borders, self._energies, self._at, self._end, wanted)
        if cut is None and self._at == self._start:
            return self.whole(decoder)
        start, stop = self._at, self._end if cut is None else cut.at
        # The silence before the first sound is decoded too: without it the first part would be quieter.
        samples = decoder.decode(self._prepared, 0 if start == self._start else start, stop + _FADE * (cut is not None))
        samples = samples[start:] if start == self._start else self._faded_in(samples)
        first, self._chunk = self._chunk, len(self._piece.chunks) if cut is None else cut.chunk
        piece = attrs.evolve(self._piece, chunks=self._piece.chunks[first : self._chunk])
        if cut is None:
            return Part(piece, self._ended(samples, start), True)
        self._at, self._tail = stop, samples[stop - start :]
        return Part(piece, self._layout.timed(samples[: stop - start], start), False)

    def _ended(self, samples: NDArray[np.float32], start: int) -> Timed:
        timed = self._layout.trimmed(samples, start, rest=self._rest)
        return timed if self._asked is None else timed.resting(self._asked)

    def _faded_in(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._tail is not None:
            length = min(len(self._tail), len(samples))
            rising = (np.arange(length, dtype=np.float32) + 0.5) / length
            samples[:length] = samples[:length] * rising + self._tail[:length] * (1 - rising)
        return samples

    @cached_property
    def _borders(self) -> list[Border]:
        return self._layout.borders()

    @cached_property
    def _energies(self) -> list[float]:
        """The predicted energy at each border: the mean of the 50 ms around it."""
        curve = np.array(self._prepared.energy)
        return [float(curve[max(0, border.at // _ENERGY_STEP - 2) :][:4].mean()) for border in self._borders]
