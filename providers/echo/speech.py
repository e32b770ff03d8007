"""The echo's voice: one tone per letter, with times as exact as a real model's.

A letter is the sound that it most often stands for, and lasts 75 ms at speed 1. Silence begins and ends every sentence
and separates words. Women's voices are an octave above men's, so that a listener can tell the voices apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
from msgspec import structs

from providers.speech.turns import TURN_REST, requests_of
from providers.speech.types import SAMPLE_RATE, PhonemeSpan, SpeechPiece, SpeechRequest, VoiceInfo, WordSpan
from providers.speech.voices import OPENAI_VOICES

__all__ = ["ECHO_VOICES", "sentences", "spoken"]

_SENTENCE = re.compile(r"[^.!?\n]*[^\W_][^.!?\n]*[.!?]*")
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_SOUNDS = dict(zip("abcdefghijklmnopqrstuvwxyz", "æbkdɛfɡhɪʤklmnɑpkɹstʌvwsjz", strict=True))
_OTHER = "ə"
"""The sound of a digit, or of a letter of another script."""

_LONGEST = 200
"""Maximum characters of a piece: synthesis blocks the event loop, and a text may have no full stop."""

_PART = re.compile(rf"\S(?:.{{0,{_LONGEST - 2}}}\S)?(?!\S)|\S{{1,{_LONGEST}}}")
"""The longest part of a sentence that ends with a word, or else a part of a word."""

_LETTER_SECONDS = 0.075
_PAUSE_SECONDS = 0.05
_GENDERS = {"f": "female", "m": "male"}
_LANGUAGES = {"a": "en-US", "b": "en-GB"}
_LOW, _HIGH = 110.0, 220.0
"""Pitch in hertz of a man's and of a woman's voice, before the letter raises it."""
_LOUDNESS = 6000


def _voice(id: str) -> VoiceInfo:
    return VoiceInfo(
        id=id,
        language=_LANGUAGES[id[0]],
        gender=_GENDERS[id[1]],  # type: ignore[arg-type]
        name=id[3:].capitalize(),
    )


ECHO_VOICES = tuple(_voice(id) for id in sorted({*OPENAI_VOICES.values(), "bf_emma"}))
"""Named as Kokoro's voices, so that a request for the echo also works there."""


def sentences(text: str) -> list[tuple[int, str]]:
    """The sentences that contain a word, with their offsets; long ones are split."""
    return [
        (match.start() + part.start(), part[0])
        for match in _SENTENCE.finditer(text)
        for part in _PART.finditer(match[0])
        if _WORD.search(part[0])
    ]


def spoken(request: SpeechRequest) -> Iterator[SpeechPiece]:
    """One piece per sentence. `request.voices` are voices of the echo, with weights that sum to 1."""
    position = 0
    for turn, one in enumerate(requests_of(request)):
        base = sum(weight * (_HIGH if voice[1] == "f" else _LOW) for voice, weight in one.voices)
        line = _Line(base, _samples(_LETTER_SECONDS / one.speed), _samples(_PAUSE_SECONDS), position)
        found = sentences(one.text)
        for number, (at, sentence) in enumerate(found, 1):
            ends = bool(request.turns[turn + 1 :]) and number == len(found)
            piece = line.speak(sentence, at, rest=_samples(TURN_REST) if ends else 0)
            yield structs.replace(piece, turn=turn) if request.turns else piece
        position = line.position


def _samples(seconds: float) -> int:
    return max(1, round(seconds * SAMPLE_RATE))


@attrs.define
class _Line:
    """An utterance in progress."""

    base: float
    letter: int
    pause: int
    position: int = 0

    def speak(self, sentence: str, at: int, *, rest: int = 0) -> SpeechPiece:
        """The sentence that is at this offset of the input, and `rest` samples of silence more than its pauses."""
        words: list[WordSpan] = []
        sounds = [self._sound("", self.pause)]
        for match in _WORD.finditer(sentence):
            word, start = match[0], self.position
            sounds += [
                self._sound(_SOUNDS.get(letter, _OTHER), self.letter) for letter in word.lower() if letter.isalnum()
            ]
            stress = len(word) > 3
            words.append(WordSpan(word, start, self.position, word, at + match.start(), at + match.end(), stress))
            sounds.append(self._sound("", self.pause))
        if rest:
            sounds[-1] = structs.replace(sounds[-1], end=sounds[-1].end + rest)
            self.position += rest
        audio = np.concatenate([self._tone(span) for span in sounds]).astype("<i2").tobytes()
        return SpeechPiece(sentence, audio, sounds, words, 0.0, at, at + len(sentence))

    def _sound(self, phoneme: str, samples: int) -> PhonemeSpan:
        start = self.position
        self.position += samples
        return PhonemeSpan(phoneme, start, self.position)

    def _tone(self, span: PhonemeSpan) -> np.ndarray[Any, Any]:
        length = span.end - span.start
        if not span.phoneme:
            return np.zeros(length)
        pitch = self.base * 2 ** (ord(span.phoneme) % 12 / 12)
        time = np.arange(length)
        tone = np.sin(time * (2 * np.pi * pitch / SAMPLE_RATE))
        # Under half a sine: otherwise every boundary would click.
        swelling: np.ndarray[Any, Any] = _LOUDNESS * tone * np.sin(np.pi * time / length)
        return swelling
