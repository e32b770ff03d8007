"""Gestures of those who speak and listen: a heuristic from stress, punctuation and the ends of sentences.

It decides from one word, the mark after it and what was said before, so the gestures do not depend on how the audio is
cut. Rates and distances are those of `docs/speech.md#gestures`, with their sources. Seconds throughout.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from random import Random

import attrs

from contracts.speech import GestureName, SpeechGesture
from providers.speech.types import SAMPLE_RATE, SpeechPiece, WordSpan

__all__ = ["Gestures"]

SPEAKING_BLINKS = 60 / 26
LISTENING_BLINKS = 60 / 17
"""Mean seconds between blinks."""
SHORTEST_BETWEEN_BLINKS = 0.6
GLANCES = 10.0
"""Mean seconds between a listener's glances away."""

_CLAUSE_ENDS = frozenset(",;:\u2014\uff0c\u3001")
_SENTENCE_ENDS = frozenset(".!?\u2026\u3002\uff01\uff1f\u0964")
_QUESTIONS = frozenset("?\uff1f")
_EXCLAMATIONS = frozenset("!\uff01")

_BLINK = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
_BROWS = {"browInnerUp": 0.5, "browOuterUpLeft": 0.35, "browOuterUpRight": 0.35}
_NOD = {"headRotateX": 0.12}
_TILT = {"headRotateZ": 0.08}
_LEFT = {"eyeLookOutLeft": 0.4, "eyeLookInRight": 0.4, "headRotateY": 0.06}
_RIGHT = {"eyeLookInLeft": 0.4, "eyeLookOutRight": 0.4, "headRotateY": -0.06}

_Pending = tuple[float, int, SpeechGesture]


@attrs.define
class _Face:
    """One person, with the times of the next blink and glance and what decides them."""

    name: str | None
    blinking: Random
    glancing: Random
    next_blink: float
    next_glance: float
    last: dict[GestureName, float] = attrs.field(factory=dict)
    """When each gesture that words cause began last."""

    def is_rested(self, gesture: GestureName, at: float, distance: float) -> bool:
        return at - self.last.get(gesture, -distance) >= distance


class Gestures:
    """Makes the gestures of one utterance, piece by piece.

    Args:
        seed: equal seeds give equal gestures.
        speakers: by turn. Without turns there are a speaker and a listener without names.
    """

    def __init__(self, seed: int, speakers: Sequence[str] = ()) -> None:
        self._seed = seed
        self._speakers = speakers
        self._faces = [self._face(name, name) for name in dict.fromkeys(speakers)] or [
            self._face(None, "speaker"),
            self._face(None, "listener"),
        ]
        self._pending: list[_Pending] = []
        self._count = self._words = 0
        self._begins = True
        self._turn: int | None = None

    def of(self, piece: SpeechPiece) -> list[SpeechGesture]:
        """The gestures that begin within a piece, in order. Call it once for each piece, in order."""
        if not piece.phonemes:
            return []
        start, end = piece.phonemes[0].start / SAMPLE_RATE, piece.phonemes[-1].end / SAMPLE_RATE
        if piece.turn != self._turn:
            self._turn, self._begins = piece.turn, True
        speaker = 0 if piece.turn is None else self._index(self._speakers[piece.turn])
        for word, marks in _with_marks(piece):
            self._word(speaker, word, marks)
        for number, face in enumerate(self._faces):
            self._blinks(face, start, end, is_speaking=number == speaker)
            if number != speaker:
                self._glances(face, start, end)
        return list(self._until(end))

    def _face(self, name: str | None, key: str) -> _Face:
        blinking, glancing = Random(f"{self._seed}:{key}:blinks"), Random(f"{self._seed}:{key}:glances")
        first, away = blinking.uniform(0.3, 2.5), glancing.expovariate(1 / GLANCES) + 1.0
        return _Face(name, blinking, glancing, first, away)

    def _index(self, name: str) -> int:
        return next(number for number, face in enumerate(self._faces) if face.name == name)

    def _word(self, speaker: int, word: WordSpan, marks: str) -> None:
        """What a word causes."""
        random = Random(f"{self._seed}:word:{self._words}")
        self._words += 1
        face, start, end = self._faces[speaker], word.start / SAMPLE_RATE, word.end / SAMPLE_RATE
        ends = any(mark in _SENTENCE_ENDS for mark in marks)
        asks, calls = (any(mark in kind for mark in marks) for kind in (_QUESTIONS, _EXCLAMATIONS))
        # Drawn in any case, so that a word's draws do not depend on what the words before did.
        draws = [random.random() for _ in range(4)]
        if self._begins and draws[0] < 0.5:
            self._add(face, "gazeAway", start, 0.8 + 0.8 * draws[1], _side(draws[2]), 0.5)
        if word.stress or asks or calls:
            if asks or calls or (draws[1] < 0.15 and face.is_rested("browRaise", start, 2.0)):
                last = 0.3 if asks else 0.15
                self._add(face, "browRaise", start, end - start + last, _BROWS, 0.9 if calls else 0.6)
            if calls or (draws[2] < 0.35 and face.is_rested("headNod", start, 0.8)):
                self._add(face, "headNod", start, 0.4, _NOD, 0.8 if calls else 0.3 + 0.3 * draws[3])
        if asks:
            self._add(face, "headTilt", start, end - start + 0.5, _side_of(_TILT, draws[3]), 0.6)
        if ends or any(mark in _CLAUSE_ENDS for mark in marks):
            self._answered(speaker, end, random, 0.5 if ends else 0.25)
        self._begins = ends

    def _answered(self, speaker: int, at: float, random: Random, share: float) -> None:
        """The nods of those who listen to the end of a clause."""
        for number, face in enumerate(self._faces):
            chance, delay, strength = random.random(), random.uniform(0.2, 0.5), random.uniform(0.3, 0.7)
            if number != speaker and chance < share and face.is_rested("headNod", at + delay, 1.5):
                self._add(face, "headNod", at + delay, 0.7, _NOD, strength, is_listening=True)

    def _blinks(self, face: _Face, start: float, end: float, *, is_speaking: bool) -> None:
        mean = SPEAKING_BLINKS if is_speaking else LISTENING_BLINKS
        while face.next_blink < end:
            at = max(start, face.next_blink)
            self._add(face, "blink", at, face.blinking.uniform(0.12, 0.22), _BLINK, 1.0, is_listening=not is_speaking)
            face.next_blink = at + SHORTEST_BETWEEN_BLINKS
            face.next_blink += face.blinking.expovariate(1 / (mean - SHORTEST_BETWEEN_BLINKS))

    def _glances(self, face: _Face, start: float, end: float) -> None:
        while face.next_glance < end:
            at, length = max(start, face.next_glance), face.glancing.uniform(0.4, 0.9)
            self._add(face, "gazeAway", at, length, _side(face.glancing.random()), 0.6, is_listening=True)
            face.next_glance = at + length + face.glancing.expovariate(1 / GLANCES)

    def _add(
        self,
        face: _Face,
        gesture: GestureName,
        start: float,
        length: float,
        targets: Mapping[str, float],
        intensity: float,
        *,
        is_listening: bool = False,
    ) -> None:
        face.last[gesture] = start
        made = SpeechGesture(
            gesture=gesture,
            start_time=round(start, 3),
            end_time=round(start + length, 3),
            intensity=round(intensity, 2),
            targets={name: round(value * intensity, 3) for name, value in targets.items()},
            role="listener" if is_listening else "speaker",
            speaker=face.name,
        )
        self._count += 1
        heapq.heappush(self._pending, (made.start_time, self._count, made))

    def _until(self, end: float) -> Iterator[SpeechGesture]:
        while self._pending and self._pending[0][0] < end:
            yield heapq.heappop(self._pending)[2]


def _with_marks(piece: SpeechPiece) -> Iterator[tuple[WordSpan, str]]:
    """The words of a piece, each with the characters up to the next word."""
    text, at = piece.text, 0
    places = []
    for word in piece.words:
        found = text.find(word.word, at)
        start = at if found < 0 else found
        at = start if found < 0 else start + len(word.word)
        places.append((word, start, at))
    for number, (word, _, end) in enumerate(places, 1):
        yield word, text[end : places[number][1] if number < len(places) else len(text)]


def _side(draw: float) -> Mapping[str, float]:
    return _LEFT if draw < 0.5 else _RIGHT


def _side_of(targets: Mapping[str, float], draw: float) -> Mapping[str, float]:
    return targets if draw < 0.5 else {name: -value for name, value in targets.items()}
