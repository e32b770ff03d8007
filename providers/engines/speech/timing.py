"""The times of each phoneme and word of a piece, from the durations that the model predicts.

Kokoro's durations are whole frames of 600 samples, one for every symbol and two for the padding around them. Two errors
are corrected, both measured (`tests/live/engines/alignment.py`): the sound of a symbol is heard `LEAD` samples before
its frames begin, and the last sound before a pause includes much of the pause, which its low energy reveals. All times
are in samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import attrs
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from providers.engines.speech.text.g2p import PAUSES, SPACES
from providers.speech.types import PhonemeSpan, WordSpan

__all__ = ["FRAME", "LEAD", "Border", "Layout", "Timed"]

FRAME = 600
LEAD = 1200
"""How much earlier sounds are than their frames, measured with the words and voices that `alignment.py` names."""

_STRESSES = frozenset("ˈˌ")
_MODIFIERS = frozenset("ːʰʲᵝ̃↓→↗↘")
_WINDOW = 120
"""Samples: 5 ms, the resolution of energy."""
_QUIET = 0.01
"""Fraction of the loudest window so far, 40 dB below it: quieter windows are silence."""
_MARGIN = 1800
"""Silence to keep before the first sound."""


@attrs.frozen
class Timed:
    """A piece's audio and its times, from 0 to the number of samples."""

    samples: NDArray[np.float32]
    phonemes: list[PhonemeSpan]
    words: list[WordSpan]

    @classmethod
    def silence(cls, samples: int) -> Timed:
        return cls(np.zeros(samples, np.float32), [PhonemeSpan("", 0, samples)] if samples else [], [])

    def resting(self, rest: int) -> Timed:
        """The piece with at least `rest` samples of silence after its last sound."""
        heard = max((span.end for span in self.phonemes if span.phoneme), default=0)
        length = len(self.samples)
        more = heard + rest - length
        if more <= 0:
            return self
        phonemes = [span for span in self.phonemes if span.end <= heard]
        silence = PhonemeSpan("", heard, length + more)
        return Timed(np.pad(self.samples, (0, more)), [*phonemes, silence], self.words)

    def after(self, start: int) -> tuple[list[PhonemeSpan], list[WordSpan]]:
        """The times within an utterance whose earlier pieces end at `start`."""
        phonemes = [PhonemeSpan(span.phoneme, span.start + start, span.end + start) for span in self.phonemes]
        return phonemes, [_moved(span, start) for span in self.words]


@attrs.define
class _Sound:
    phoneme: str
    owner: int
    start: int
    end: int
    before_pause: bool = True


@attrs.frozen
class Border:
    """A place between two words where the audio of a piece may be cut. `at`: samples from the start of the piece."""

    at: int
    chunk: int
    """Number of the chunk that begins after it."""
    pause: bool
    """Whether there is silence."""


class Layout:
    """When each sound of a piece is heard, as far as the durations tell it: before there is any audio.

    Args:
        frames: those of the padding before, of each symbol, and of the padding after.
        owners: for each symbol the number of its chunk; -1 for none.
        words: by number of their chunk, without times; their `word` is empty if there is none.
    """

    def __init__(self, frames: Sequence[int], symbols: str, owners: Sequence[int], words: Sequence[WordSpan]) -> None:
        edges = np.cumsum(np.asarray(frames)) * FRAME
        if len(frames) != len(symbols) + 2:
            raise ValueError(f"{len(frames)} durations for {len(symbols)} symbols")
        self.samples = int(edges[-1])
        edges = edges[:-1] - min(LEAD, int(edges[0]))
        self._words = words
        self._loudest = 0.0
        self._sounds = _sounds(symbols, owners, [int(edge) for edge in edges])
        for sound, following in pairwise(self._sounds):
            sound.before_pause = following.start > sound.end

    def audible(self, rest: int) -> tuple[int, int]:
        """The stretch to keep: from a moment before the first sound to `rest` samples after the last."""
        if not self._sounds:
            return 0, self.samples
        return max(0, self._sounds[0].start - _MARGIN), min(self.samples, self._sounds[-1].end + rest)

    def borders(self) -> list[Border]:
        """The places between words, in order."""
        return [
            Border((sound.end + following.start) // 2, following.owner, sound.before_pause)
            for sound, following in pairwise(self._sounds)
            if following.owner > sound.owner >= 0
        ]

    def timed(self, samples: NDArray[np.float32], start: int = 0) -> Timed:
        """The times of what is heard in a stretch of the audio, from 0 to its length. `start`: where it begins."""
        stop = start + len(samples)
        sounds = [
            attrs.evolve(sound, start=sound.start - start, end=min(sound.end, stop) - start)
            for sound in self._sounds
            if start <= sound.start < stop
        ]
        energy = _energy(samples)
        self._loudest = max(self._loudest, float(energy.max(initial=0.0)))
        _end_before_pauses(sounds, energy > _QUIET * self._loudest)
        return Timed(samples, _spans(sounds, len(samples)), _words(sounds, self._words))

    def trimmed(self, samples: NDArray[np.float32], start: int, *, rest: int) -> Timed:
        """`timed`, without the silence beyond `rest` samples after the last sound."""
        timed = self.timed(samples, start)
        heard = [span for span in timed.phonemes if span.phoneme]
        if not heard:
            return timed
        end = min(len(samples), heard[-1].end + rest)
        phonemes = [
            PhonemeSpan(span.phoneme, span.start, min(span.end, end)) for span in timed.phonemes if span.start < end
        ]
        return Timed(samples[:end], phonemes, timed.words)


def _moved(span: WordSpan, samples: int) -> WordSpan:
    return structs.replace(span, start=span.start + samples, end=span.end + samples)


def _sounds(symbols: str, owners: Sequence[int], edges: Sequence[int]) -> list[_Sound]:
    """The sounds between the pauses. Half of a space belongs to each sound beside it, a stress mark to its vowel."""
    sounds: list[_Sound] = []
    waiting: int | None = None  # where the next sound begins, if not with its own frames
    joined = False  # whether only spaces followed the last sound
    for symbol, owner, start, end in zip(symbols, owners, edges[:-1], edges[1:], strict=True):
        if symbol in PAUSES:
            waiting, joined = None, False
        elif symbol in SPACES:
            if joined and waiting is None:
                waiting = start
        elif symbol in _STRESSES:
            # A stress mark after spaces joins them.
            waiting = start if waiting is None else waiting
        elif symbol in _MODIFIERS and sounds and joined and waiting is None:
            sounds[-1].end = end
            sounds[-1].phoneme += symbol if symbol == "ː" else ""
        else:
            begin = start if waiting is None else waiting
            if joined and sounds and waiting is not None and sounds[-1].end == waiting:
                middle = _middle(symbols, owners, edges, sounds[-1].end, start)
                sounds[-1].end = begin = middle
            sounds.append(_Sound(symbol, owner, begin, end))
            waiting, joined = None, True
    return sounds


def _middle(symbols: str, owners: Sequence[int], edges: Sequence[int], first: int, last: int) -> int:
    """The middle of the spaces from `first` on, before the sound or stress mark that begins at `last`."""
    end = first
    for symbol, begin, finish in zip(symbols, edges[:-1], edges[1:], strict=True):
        if begin >= first and begin < last and symbol in SPACES:
            end = finish
    return (first + end) // 2


def _energy(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each window of 5 ms."""
    windows = samples[: len(samples) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    energy: NDArray[np.float32] = np.sqrt(np.mean(np.square(windows), axis=1))
    return energy


def _end_before_pauses(sounds: list[_Sound], loud: NDArray[np.bool_]) -> None:
    """End each sound before a pause where it is last heard, but at least one frame after its beginning."""
    for sound in sounds:
        if sound.before_pause:
            heard = np.flatnonzero(loud[sound.start // _WINDOW : sound.end // _WINDOW])
            last = sound.start + (int(heard[-1]) + 1) * _WINDOW if heard.size else sound.start
            sound.end = min(sound.end, max(last, sound.start + FRAME))


def _spans(sounds: Sequence[_Sound], length: int) -> list[PhonemeSpan]:
    """The sounds and the silences between them, from 0 to `length`."""
    spans: list[PhonemeSpan] = []
    at = 0
    for sound in sounds:
        if sound.start > at:
            spans.append(PhonemeSpan("", at, sound.start))
        spans.append(PhonemeSpan(sound.phoneme, sound.start, sound.end))
        at = sound.end
    if at < length or not spans:
        spans.append(PhonemeSpan("", at, length))
    return spans


def _words(sounds: Sequence[_Sound], words: Sequence[WordSpan]) -> list[WordSpan]:
    found: dict[int, WordSpan] = {}
    for sound in sounds:
        if sound.owner >= 0 and words[sound.owner].word:
            known = found.get(sound.owner)
            start = sound.start if known is None else known.start
            found[sound.owner] = structs.replace(words[sound.owner], start=start, end=sound.end)
    return list(found.values())
