"""Reported starts of words against the energy of the audio, with words that the calibration did not use."""

from __future__ import annotations

import numpy as np
import pytest

from tests.live.engines.alignment import CALIBRATION, CALIBRATION_VOICES, HELD_OUT, HELD_OUT_VOICES, errors, summary
from tests.live.engines.speaker import Speaker

pytestmark = pytest.mark.timeout(600)


def test_words_are_audible_at_their_reported_times(speaker: Speaker) -> None:
    plosives, vowels = (", ".join(text.split(", ")[:11]) + "." for text in HELD_OUT)
    one, _, other = HELD_OUT_VOICES
    found = []
    for voice, text in ((one, plosives), (one, vowels), (other, vowels)):
        speech = speaker.spoken(f"alignment-{len(found)}", text, voice)
        found += errors(speech.audio, speech.words)
    print(summary(found))
    assert len(found) >= 20
    assert np.median(np.abs(found)) <= 40


def test_the_checked_words_and_voices_are_not_those_of_the_calibration() -> None:
    calibrated, held_out = (set(" ".join(texts).lower().split()) for texts in (CALIBRATION, HELD_OUT))
    assert not calibrated & held_out
    assert not set(CALIBRATION_VOICES) & set(HELD_OUT_VOICES)
