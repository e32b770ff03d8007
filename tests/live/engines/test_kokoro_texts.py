"""Properties of any text, with the durations of the real model: times have no gap, no word is lost.

The sound only decides where the last word before a pause ends, so these texts get a random one: the first half of the
model is a fraction of the work. `tests/live/test_speech.py` synthesizes some texts completely.

    SPEECH_TEXTS=300 pytest tests/live/engines/test_kokoro_texts.py
    SPEECH_TEXTS=300 pytest tests/live/test_speech.py -k any_text

check 300 texts each.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.engines.speech.timing import FRAME, Layout
from providers.speech.types import WordSpan
from server.api.speech.visemes import viseme_spans
from tests.live.engines.durations import Durations
from tests.live.texts import some, spoken_words, texts

pytestmark = pytest.mark.timeout(3600)

VOICES = ("af_heart", "am_michael", "bf_emma", "bm_george")
REST = 7200


@pytest.fixture(scope="module")
def model() -> Generator[Durations]:
    durations = Durations()
    yield durations
    assert durations.close() == 0


@some(16)
@given(
    text=texts,
    voice=st.sampled_from(VOICES),
    speed=st.sampled_from([1.0, 1.0, 0.25, 2.0, 4.0]),
    heard=st.sampled_from([0.0, 0.2, 1.0]),
    seed=st.integers(0, 99),
)
def test_times_have_no_gap_and_every_word_moves_the_mouth(
    model: Durations, text: str, voice: str, speed: float, heard: float, seed: int
) -> None:
    british = voice.startswith("b")
    said: list[str] = []
    for piece in model.pieces(text, "en-GB" if british else "en-US", voice, speed):
        random, frames = np.random.default_rng(seed), sum(piece["frames"])
        samples = random.normal(size=frames * FRAME).astype(np.float32)
        samples *= np.repeat(random.random(frames) < heard, FRAME)
        words = [WordSpan(word, 0, 0) for word in piece["words"]]
        layout = Layout(piece["frames"], piece["symbols"], piece["owners"], words)
        start, end = layout.audible(REST)
        timed = layout.trimmed(samples[start:end], start, rest=REST)

        visemes = list(viseme_spans(timed.phonemes))
        at = 0
        for viseme in visemes:
            assert viseme.start == at < viseme.end
            at = viseme.end
        assert at == len(timed.samples)
        end = 0
        for word in timed.words:
            assert end <= word.start < word.end <= len(timed.samples)
            end = word.end
            inside = [viseme for viseme in visemes if word.start <= viseme.start and viseme.end <= word.end]
            assert any(viseme.viseme != "sil" for viseme in inside)
        said += [word.word for word in timed.words]
    assert said == spoken_words(text, british=british)
