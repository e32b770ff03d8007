"""Speech in responses with the embedded models and the official SDK: the sound, and what later turns hold of it."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response

from server.api.spoken.stretches import StretchCutter
from tests.live.client import PATIENCE
from tests.live.harness import LiveServer
from tests.live.test_spoken_chat import RATE, contiguous

ASKED = "Tell me two facts about the city of Paris."
SPEECH = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}


@pytest.fixture(scope="module")
def client(server: LiveServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.base_url, api_key="unused", timeout=PATIENCE)


@pytest.fixture(scope="module")
def whole(client: openai.OpenAI) -> Response:
    return client.responses.create(model="any", input=ASKED, max_output_tokens=30, temperature=0, extra_body=SPEECH)


def audio_of(response: Response) -> dict[str, Any]:
    audio: dict[str, Any] = (response.model_extra or {})["audio"]
    return audio


def test_a_response_has_text_sound_words_and_mouth_on_one_clock(whole: Response) -> None:
    audio = audio_of(whole)
    seconds = len(base64.b64decode(audio["data"])) / 2 / RATE
    assert whole.output_text == audio["transcript"] != ""
    assert audio["duration"] == pytest.approx(seconds)
    assert contiguous(audio["visemes"], seconds)
    assert len(audio["words"]) >= 10
    for word in audio["words"]:
        assert 0 <= word["start_time"] < word["end_time"] <= seconds
        assert audio["transcript"][word["start_char"] : word["end_char"]] == word["text"] != ""


def test_a_stream_has_the_same_text_and_sound(client: openai.OpenAI, whole: Response) -> None:
    text = transcript = ""
    sound = b""
    words: list[Any] = []
    with client.responses.stream(
        model="any", input=ASKED, max_output_tokens=30, temperature=0, extra_body=SPEECH
    ) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.audio.transcript.delta":
                transcript += event.delta
            elif event.type == "response.audio.delta":
                extra = event.model_extra or {}
                assert extra["start_sample"] == len(sound) // 2
                sound += base64.b64decode(event.delta)
                words += extra["words"]
    audio = audio_of(whole)
    assert text == transcript == whole.output_text
    assert sound == base64.b64decode(audio["data"])
    assert words == audio["words"]


def test_the_sound_is_what_the_speech_endpoint_says(server: LiveServer, whole: Response) -> None:
    audio = audio_of(whole)
    cutter = StretchCutter()
    stretches = [*cutter.feed(audio["transcript"]), *cutter.finish()]
    assert len(stretches) > 1
    sound = b""
    for stretch in stretches:
        body = {"model": "any", "input": stretch.text, "voice": "alloy", "response_format": "pcm", "stream": False}
        sound += httpx.post(f"{server.base_url}/audio/speech", json=body, timeout=PATIENCE).content
    assert base64.b64decode(audio["data"]) == sound


def test_the_next_turn_holds_exactly_the_words_that_were_heard(
    server: LiveServer, client: openai.OpenAI, whole: Response
) -> None:
    """37 % of the playback: the prompt has as many tokens as one whose turn ends with the last word that was heard."""
    audio = audio_of(whole)
    played = 0.37 * audio["duration"]
    heard = [word for word in audio["words"] if word["end_time"] <= played]
    assert 0 < len(heard) < len(audio["words"])
    text = audio["transcript"][: heard[-1]["end_char"]]
    same: list[Any] = [
        {"role": "user", "content": ASKED},
        {"role": "assistant", "content": text},
        {"role": "user", "content": "Go on."},
    ]

    following = client.responses.create(
        model="any", input="Go on.", previous_response_id=whole.id, max_output_tokens=8, temperature=0,
        extra_body={"heard": [{"audio_id": audio["id"], "played_ms": 1000 * played}]},
    )  # fmt: skip
    expected = client.responses.create(model="any", input=same, max_output_tokens=8, temperature=0)

    assert following.output_text == expected.output_text
    assert following.usage is not None
    assert expected.usage is not None
    assert following.usage.input_tokens == expected.usage.input_tokens
    assert following.usage.input_tokens_details.cached_tokens > 0.4 * following.usage.input_tokens
    report = httpx.post(
        f"{server.base_url}/responses/{whole.id}/heard", json={"played_ms": 1000 * played}, timeout=PATIENCE
    ).json()
    assert (report["transcript"], report["complete"]) == (text, False)
    stored = client.responses.retrieve(whole.id)
    assert stored.output_text == whole.output_text
    assert "data" not in audio_of(stored)
