"""Kokoro-82M, converted from its ONNX export, through the engine's socket."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from providers.speech.types import SpeechAccepted, SpeechFinished
from tests.live.engines.speaker import Speaker
from tests.spoken_text import normalize

# A contended CPU needs several seconds per second of speech.
pytestmark = pytest.mark.timeout(600)

TEXT = "It costs $12.50 at Kubernetes Inc., or so I read. Nothing is certain!"


def test_times_have_no_gap_and_every_word_of_the_text_is_spoken(speaker: Speaker) -> None:
    speech = speaker.spoken("times", TEXT)
    accepted, finished = speech.events[0], speech.events[-1]
    assert isinstance(accepted, SpeechAccepted)
    assert isinstance(finished, SpeechFinished)
    assert (accepted.pieces, accepted.characters) == (None, len(TEXT)), "the text is read while it is spoken"
    at = 0
    for span in speech.phonemes:
        assert span.start == at < span.end
        at = span.end
    assert at == finished.samples == len(speech.audio) // 2
    expected = [word.strip(".,;:!?—…\"“”()'") for word in normalize(TEXT).split()]
    assert [span.word for span in speech.words] == expected
    for word in speech.words:
        assert word.text == TEXT[word.start_char : word.end_char]
        assert any(word.start <= span.start and span.end <= word.end for span in speech.phonemes if span.phoneme)
    heard = np.frombuffer(speech.audio, "<i2").astype(np.float32) / 32768
    assert 0.2 < np.abs(heard).max() <= 1.0


def test_a_cancelled_request_ends_before_its_next_sentence(speaker: Speaker) -> None:
    long = "The first sentence is said. " * 12
    speech = speaker.speak("cancelled", long)
    while not speech.pieces:
        speaker.pump()
    speaker.cancel("cancelled")
    other = speaker.spoken("after", "Now it is my turn.")
    assert len(other.pieces) == 1
    # At most the sentence that was in synthesis when the cancellation arrived.
    assert len(speech.pieces) <= 2
    assert not speech.ended


def test_a_later_short_request_does_not_wait_for_a_long_one(speaker: Speaker) -> None:
    long = speaker.speak("long", "This sentence is one of many. " * 3)
    while not long.pieces:
        speaker.pump()
    short = speaker.speak("short", "Here I am already.")
    while not short.ended:
        speaker.pump()
    assert not long.ended
    speaker.wait(long)  # type: ignore[arg-type]


def test_speed_and_mixes_of_voices_change_the_audio(speaker: Speaker) -> None:
    normal = speaker.spoken("normal", "Nothing is certain today.")
    slow = speaker.spoken("slow", "Nothing is certain today.", speed=0.5)
    mixed = speaker.spoken("mixed", "Nothing is certain today.", voices=[("af_heart", 0.6), ("am_michael", 0.4)])
    assert 1.5 < slow.words[-1].end / normal.words[-1].end < 2.4
    assert mixed.audio not in (normal.audio, slow.audio)


@pytest.mark.parametrize(
    ("request_fields", "param"),
    [
        ({"voice": "nobody"}, "voice"),
        ({"speed": 9.0}, "speed"),
    ],
)
def test_an_unsupported_value_is_refused_by_name(speaker: Speaker, request_fields: dict[str, Any], param: str) -> None:
    speech = speaker.speak("refused", "Hello.", **request_fields)
    speaker.wait(speech)  # type: ignore[arg-type]
    assert speech.failed is not None
    assert speech.failed.param == param
    assert speech.events == []
