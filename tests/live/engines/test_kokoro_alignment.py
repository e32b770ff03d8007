"""Words are told to begin where they are heard: energy against the times of fifty plosives and vowels."""

from __future__ import annotations

import numpy as np
import pytest

from providers.speech import SAMPLE_RATE
from tests.live.engines.test_kokoro import Speaker, speaker

__all__ = ["speaker"]

pytestmark = pytest.mark.timeout(600)

# After a pause, for there alone the beginning of a word is one of energy.
PLOSIVES = (
    "Paper, table, cat, ball, dog, garden, pen, tiger, car, book, door, gold, pocket, tree, kitchen, bread, dinner, "
    "green, picture, tooth, kettle, bottle, doctor, ghost, port, tea."
)
VOWELS = (
    "Apple, eagle, orange, igloo, under, otter, actor, east, only, ugly, engine, ice, open, uncle, end, art, ocean, "
    "iron, elbow, arm, animal, even, oil, umbrella."
)
WINDOW = SAMPLE_RATE // 200
REACH = 50
"""Windows of 5 ms around the told time."""
QUIET = 8


def test_words_begin_where_they_are_heard(speaker: Speaker) -> None:
    errors = []
    for number, text in enumerate((PLOSIVES, VOWELS)):
        speech = speaker.spoken(f"alignment-{number}", text)
        samples = np.frombuffer(speech.audio, "<i2").astype(np.float32)
        energy = np.sqrt(np.mean(samples[: len(samples) // WINDOW * WINDOW].reshape(-1, WINDOW) ** 2, axis=1))
        loud = energy > 0.03 * np.percentile(energy, 99)
        for word in speech.words:
            told = word.start // WINDOW
            onsets = [
                at
                for at in range(max(QUIET, told - REACH), min(len(loud) - 4, told + REACH))
                if loud[at] and loud[at : at + 4].sum() >= 3 and not loud[at - QUIET : at].any()
            ]
            if onsets:
                nearest = min(onsets, key=lambda at: abs(at - told))
                errors.append((nearest * WINDOW - word.start) * 1000 / SAMPLE_RATE)
    print(f"{len(errors)} onsets, median error {np.median(np.abs(errors)):.1f} ms, bias {np.median(errors):.1f} ms")
    assert len(errors) >= 25
    assert np.median(np.abs(errors)) <= 40
