"""What holds for whatever is said, aloud. `SPEECH_TEXTS=300 pytest tests/live/test_speech_texts.py` says 300."""

from __future__ import annotations

import base64
import os
from collections.abc import Generator
from itertools import pairwise

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live.client import PATIENCE
from tests.live.harness import LiveServer, start
from tests.live.texts import spoken_words, texts

COUNT = int(os.environ.get("SPEECH_TEXTS", "15"))
RATE = 24_000

pytestmark = pytest.mark.timeout(300 + 20 * COUNT)


@pytest.fixture(scope="module")
def voice() -> Generator[LiveServer]:
    running = start("--model-type", "tts")
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.text


@settings(max_examples=COUNT, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(text=texts, name=st.sampled_from(["af_bella", "am_fenrir", "bf_emma"]), speed=st.sampled_from([1.0, 4.0]))
def test_the_times_of_any_text_fit_its_sound_and_name_every_word(
    voice: LiveServer, text: str, name: str, speed: float
) -> None:
    body = {"model": "any", "input": text, "voice": name, "speed": speed, "response_format": "pcm"}
    answer = httpx.post(f"{voice.url}/v1/audio/speech", json={**body, "include_visemes": True}, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    visemes, words = said["visemes"], said["words"]

    assert visemes[0]["start_time"] == 0
    assert visemes[-1]["end_time"] == said["duration"] == len(base64.b64decode(said["audio"])) / 2 / RATE
    assert all(one["start_time"] < one["end_time"] for one in visemes)
    assert all(one["end_time"] == next["start_time"] for one, next in pairwise(visemes))
    assert all(one["end_time"] <= next["start_time"] for one, next in pairwise(words))
    assert [word["word"] for word in words] == spoken_words(text, british=name.startswith("b"))
    for word in words:
        inside = [v for v in visemes if word["start_time"] <= v["start_time"] and v["end_time"] <= word["end_time"]]
        assert any(viseme["viseme"] != "sil" for viseme in inside), word
