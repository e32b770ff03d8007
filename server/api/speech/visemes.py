"""Shapes of the mouth for sounds, in the four sets that clients can request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import attrs

from contracts.speech import SpeechViseme, VisemeSet
from providers.speech.types import SAMPLE_RATE, PhonemeSpan
from server.api.speech.viseme_tables import (
    ARKIT,
    FIRST_SHARE,
    MARKS,
    OCULUS_NAMES,
    PHONEMES,
    RHUBARB_NAMES,
    SILENCE,
)

__all__ = ["VisemeSpan", "speech_visemes", "viseme_spans"]

_COLUMNS: dict[VisemeSet, int] = {"oculus": 0, "arkit": 0, "azure": 1, "rhubarb": 2}


@attrs.frozen
class VisemeSpan:
    """A shape and its time span, in samples from the start of the utterance."""

    viseme: str
    phoneme: str
    start: int
    end: int


def viseme_spans(phonemes: Iterable[PhonemeSpan], viseme_set: VisemeSet = "oculus") -> Iterator[VisemeSpan]:
    """The shapes of these sounds. They are contiguous where the sounds are."""
    column = _COLUMNS[viseme_set]
    for span in phonemes:
        shapes = _row(span.phoneme)[column].split()
        middle = span.start + round((span.end - span.start) * FIRST_SHARE) if len(shapes) > 1 else span.end
        yield VisemeSpan(shapes[0], span.phoneme, span.start, middle)
        if middle < span.end:
            yield VisemeSpan(shapes[1], span.phoneme, middle, span.end)


def speech_visemes(phonemes: Iterable[PhonemeSpan], viseme_set: VisemeSet) -> list[SpeechViseme]:
    """The shapes of these sounds, on the wire."""
    return [
        SpeechViseme(
            viseme=span.viseme,
            viseme_id=_id(span.viseme, viseme_set),
            phoneme=span.phoneme,
            start_time=span.start / SAMPLE_RATE,
            end_time=span.end / SAMPLE_RATE,
            blendshapes=dict(ARKIT[span.viseme]) if viseme_set == "arkit" else None,
        )
        for span in viseme_spans(phonemes, viseme_set)
    ]


@cache
def _row(phoneme: str) -> tuple[str, str, str]:
    """The shapes of a sound, without regard to its marks. An unknown sound has the shape of a schwa."""
    if not phoneme:
        return SILENCE
    letters = (letter for letter in phoneme if letter not in MARKS)
    return PHONEMES.get(next(letters, "ə"), PHONEMES["ə"])


def _id(viseme: str, viseme_set: VisemeSet) -> int:
    if viseme_set == "azure":
        return int(viseme)
    return (RHUBARB_NAMES if viseme_set == "rhubarb" else OCULUS_NAMES).index(viseme)
