"""Kokoro-82M, converted from its ONNX export, through the engine's socket."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from providers.engine_host.frames import EngineInfo, Failed, Generate
from providers.speech.types import (
    PhonemeSpan,
    SpeechAccepted,
    SpeechEvent,
    SpeechFinished,
    SpeechPiece,
    SpeechRequest,
    WordSpan,
)
from tests.spoken_text import normalize
from tests.unit.providers.engines.client import EngineClient

# A contended CPU needs several seconds per second of speech.
pytestmark = pytest.mark.timeout(600)

TEXT = "It costs $12.50 at Kubernetes Inc., or so I read. Nothing is certain!"


class Speech:
    """All events of one request."""

    def __init__(self) -> None:
        self.events: list[SpeechEvent] = []
        self.failed: Failed | None = None

    def take(self, event: SpeechEvent) -> None:
        self.events.append(event)

    @property
    def pieces(self) -> list[SpeechPiece]:
        return [event for event in self.events if isinstance(event, SpeechPiece)]

    @property
    def audio(self) -> bytes:
        return b"".join(piece.audio for piece in self.pieces)

    @property
    def phonemes(self) -> list[PhonemeSpan]:
        return [span for piece in self.pieces for span in piece.phonemes]

    @property
    def words(self) -> list[WordSpan]:
        return [span for piece in self.pieces for span in piece.words]

    @property
    def ended(self) -> bool:
        return self.failed is not None or (bool(self.events) and isinstance(self.events[-1], SpeechFinished))


class Speaker(EngineClient):
    def speak(self, id: str, text: str, voice: str = "af_heart", **request: Any) -> Speech:
        speech = Speech()
        self.answers[id] = speech  # type: ignore[assignment]
        request.setdefault("voices", [(voice, 1.0)])
        self.send(Generate(request=SpeechRequest(id=id, text=text, **request)))
        return speech

    def spoken(self, id: str, text: str, voice: str = "af_heart", **request: Any) -> Speech:
        speech = self.speak(id, text, voice, **request)
        self.wait(speech)  # type: ignore[arg-type]
        assert speech.failed is None, speech.failed
        return speech


@pytest.fixture(scope="module")
def speaker() -> Generator[Speaker]:
    client = Speaker()
    client.socket.settimeout(600)
    info = client.load("embedded:kokoro-82m", model_type="tts", max_concurrency=4)
    assert isinstance(info, EngineInfo), info
    assert len(info.details["voices"]) == 54
    yield client
    errors = client.close()
    assert "Traceback" not in errors


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


def test_three_concurrent_voices_produce_the_same_audio_as_one_after_the_other(speaker: Speaker) -> None:
    voices = ("af_heart", "am_michael", "bf_emma")
    together = [speaker.speak(f"together-{voice}", TEXT, voice) for voice in voices]
    speaker.wait(*together)  # type: ignore[arg-type]
    alone = [speaker.spoken(f"alone-{voice}", TEXT, voice) for voice in voices]
    assert [speech.audio for speech in together] == [speech.audio for speech in alone]
    assert len({speech.audio for speech in together}) == 3


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
    long = speaker.speak("long", "This sentence is one of very many. " * 5)
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
