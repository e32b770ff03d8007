"""Real speech through the official SDK and over HTTP: formats, times, concurrency, cancellation."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import av
import httpx
import numpy as np
import psutil
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from openai import BadRequestError, OpenAI

from providers.speech.voices import OPENAI_VOICES
from tests.live.client import PATIENCE, Stream, assert_error, eventually, queue_stats
from tests.live.harness import COMMAND, LiveServer, clean_environment
from tests.live.texts import some, spoken_words, texts

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
RATE = 24_000
FRAMES: dict[Format, int] = {"mp3": 576, "opus": 480, "aac": 1024, "flac": 0, "wav": 0, "pcm": 0}
"""Samples in one frame of the codec; 0 for formats without padding."""

SHORT = "Good morning."
THREE = "Here is one. Then comes two. Three ends it."
SENTENCE = (
    "When the committee finally met on Thursday evening after weeks of delay, the chairman explained that the budget "
    "had been spent."
)
LONG = "This is a sentence of a very long speech. " * 40


@pytest.fixture(scope="module")
def client(voice: LiveServer) -> Generator[OpenAI]:
    with OpenAI(base_url=voice.base_url, api_key="unused", max_retries=0) as client:
        yield client


def post(server: LiveServer, **fields: Any) -> httpx.Response:
    body = {"model": "any", "voice": "af_heart", **fields}
    return httpx.post(f"{server.url}/v1/audio/speech", json=body, timeout=PATIENCE)


def samples(audio_format: str, data: bytes) -> int:
    """Number of samples that an independent decoder finds, at `RATE`."""
    if audio_format == "pcm":
        return len(data) // 2
    if audio_format == "aac":
        return sum(frame.samples for frame in av.open(io.BytesIO(data)).decode(audio=0))
    sound, rate = soundfile.read(io.BytesIO(data))
    assert rate == RATE
    return len(sound)


@pytest.fixture(scope="module")
def length(voice: LiveServer) -> int:
    """Number of samples of `SHORT`."""
    return len(post(voice, input=SHORT, response_format="pcm").content) // 2


@pytest.fixture(scope="module")
def spoken(voice: LiveServer) -> dict[str, Any]:
    """The whole answer for `THREE`, with raw samples."""
    said: dict[str, Any] = post(voice, input=THREE, include_visemes=True, response_format="pcm").json()
    return said


@pytest.mark.parametrize("audio_format", get_args(Format))
def test_every_format_decodes_to_the_same_length(client: OpenAI, audio_format: Format, length: int) -> None:
    whole = client.audio.speech.create(model="tts-1", voice="marin", input=SHORT, response_format=audio_format).read()
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="marin", input=SHORT, response_format=audio_format
    ) as response:
        streamed = b"".join(response.iter_bytes())

    assert length > RATE // 2
    assert 0 <= samples(audio_format, whole) - length <= FRAMES[audio_format]
    assert streamed == whole, "the streamed bytes differ from the whole file"


def test_the_audio_has_the_levels_of_speech(voice: LiveServer) -> None:
    sound = np.frombuffer(post(voice, input=SHORT, response_format="pcm").content, "<i2").astype(float)
    assert 500 < np.abs(sound).max() <= 32767
    assert 200 < sound.std() < 8000


def test_the_first_sentence_arrives_before_the_last_one_is_synthesized(voice: LiveServer) -> None:
    body = {"model": "any", "voice": "af_heart", "input": THREE, "response_format": "wav"}
    with httpx.stream("POST", f"{voice.url}/v1/audio/speech", json=body, timeout=PATIENCE) as response:
        chunks = response.iter_raw()
        first = next(chunks)
        assert queue_stats(voice.url)["active"] == 1, "the speech was complete before the first part was sent"
        rest = b"".join(chunks)

    assert first.startswith(b"RIFF")
    assert len(rest) > len(first)


def test_each_event_has_the_audio_and_times_of_one_sentence(voice: LiveServer, spoken: dict[str, Any]) -> None:
    body = {"model": "any", "voice": "af_heart", "input": THREE, "response_format": "pcm", "include_visemes": True}
    address = f"{voice.url}/v1/audio/speech"
    with httpx.stream("POST", address, json={**body, "stream_format": "sse"}, timeout=PATIENCE) as response:
        stream = Stream(response)
        *deltas, done = list(stream)

    assert stream.done
    assert [delta["type"] for delta in deltas] == ["speech.audio.delta"] * 3
    assert [(delta["piece"], delta.get("pieces")) for delta in deltas] == [(1, None), (2, None), (3, 3)]
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == base64.b64decode(spoken["audio"])
    assert [viseme for delta in deltas for viseme in delta["visemes"]] == spoken["visemes"]
    assert [word for delta in deltas for word in delta["words"]] == spoken["words"]
    assert done["type"] == "speech.audio.done"
    assert done["duration"] == spoken["duration"]


def events(server: LiveServer, **fields: Any) -> list[dict[str, Any]]:
    body = {"model": "any", "voice": "af_heart", "response_format": "pcm", "include_visemes": True, **fields}
    address = f"{server.url}/v1/audio/speech"
    with httpx.stream("POST", address, json={**body, "stream_format": "sse"}, timeout=PATIENCE) as response:
        assert response.status_code == 200, response.read()
        return list(Stream(response))


def test_a_long_sentence_is_streamed_in_parts_with_the_times_of_the_whole(voice: LiveServer) -> None:
    whole = post(voice, input=SENTENCE, include_visemes=True, response_format="pcm").json()
    *deltas, done = events(voice, input=SENTENCE)
    words = [word for delta in deltas for word in delta["words"]]

    assert len(deltas) > 1
    assert deltas[0]["visemes"][-1]["end_time"] <= 0.6 * done["duration"]
    assert [word["word"] for word in words] == [word["word"] for word in whole["words"]]
    assert [(word["start_char"], word["end_char"]) for word in words] == [
        (word["start_char"], word["end_char"]) for word in whole["words"]
    ]
    assert done["duration"] == sum(len(base64.b64decode(delta["audio"])) for delta in deltas) / 2 / RATE
    visemes = [viseme for delta in deltas for viseme in delta["visemes"]]
    assert all(one["end_time"] == other["start_time"] for one, other in pairwise(visemes))


def test_the_first_and_the_last_words_are_whole_and_parts_join_without_a_click(voice: LiveServer) -> None:
    """Case 77 of the field."""
    text = "We have come to an hour in which machines stand ready to change how we work, learn and live."
    *deltas, _ = events(voice, input=text)
    parts = [np.frombuffer(base64.b64decode(delta["audio"]), "<i2").astype(float) for delta in deltas]
    sound = np.concatenate(parts)
    words = [word for delta in deltas for word in delta["words"]]

    def level(start: float, end: float) -> float:
        return float(np.sqrt(np.mean(sound[round(start * RATE) : round(end * RATE)] ** 2)))

    middle = level(words[0]["start_time"], words[-1]["end_time"])
    assert level(words[0]["start_time"], words[0]["start_time"] + 0.3) > 0.3 * middle
    assert level(words[-1]["start_time"], words[-1]["end_time"]) > 0.15 * middle
    assert abs(sound[-1]) < 50
    assert abs(sound[0]) < 50
    steps = np.abs(np.diff(sound))
    for seam in np.cumsum([len(part) for part in parts])[:-1]:
        assert steps[seam - 1] <= np.percentile(steps, 99.5)


def test_a_chapter_is_streamed(voice: LiveServer) -> None:
    chapter = (SENTENCE + " ") * 200
    assert len(chapter) > 24_121
    with httpx.stream(
        "POST",
        f"{voice.url}/v1/audio/speech",
        json={"model": "any", "input": chapter, "response_format": "pcm"},
        timeout=PATIENCE,
    ) as response:
        assert response.status_code == 200
        assert len(next(response.iter_raw())) > RATE
    eventually(lambda: queue_stats(voice.url)["active"] == 0, within=30)


def test_two_voices_debate_in_one_request_with_gestures(voice: LiveServer) -> None:
    turns = [{"speaker": "A", "text": "Taxes should rise."}, {"speaker": "B", "text": "Why should they?"}]
    speakers = {"A": {"voice": "am_michael"}, "B": {"voice": "bf_emma", "speed": 1.2}}
    fields: dict[str, Any] = {"input": turns, "speakers": speakers, "include_visemes": True, "include_gestures": True}
    said = post(voice, **fields, response_format="wav").json()
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(said["audio"])))

    assert [(word["speaker"], word["text"]) for word in said["words"]] == [
        *(("A", word) for word in ("Taxes", "should", "rise")),
        *(("B", word) for word in ("Why", "should", "they")),
    ]
    assert len(sound) == round(said["duration"] * rate) == round(said["visemes"][-1]["end_time"] * rate)
    assert said["words"][3]["start_time"] - said["words"][2]["end_time"] >= 0.5
    assert {(gesture["role"], gesture["speaker"]) for gesture in said["gestures"]} >= {("speaker", "B")}
    refused = post(voice, **{**fields, "speakers": {"B": {"voice": "zork"}}})
    assert_error(refused, 400, "invalid_request_error", param="speakers.B.voice")


@pytest.mark.parametrize("audio_format", ["mp3", "wav", "flac"])
def test_a_file_that_is_not_streamed_has_its_exact_length(client: OpenAI, audio_format: Format, length: int) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="marin", input=SHORT, response_format=audio_format, extra_body={"stream": False}
    ) as response:
        data = response.read()
        assert int(response.headers["content-length"]) == len(data)
    assert soundfile.info(io.BytesIO(data)).frames == samples(audio_format, data) == length


def test_the_models_that_speak_are_listed(voice: LiveServer) -> None:
    answer = httpx.get(f"{voice.url}/v1/audio/models", timeout=PATIENCE).json()
    assert [model["id"] for model in answer["models"]] == ["kokoro-82m"]


TEXTS = {
    "The quick brown fox jumps over the lazy dog.": "The quick brown fox jumps over the lazy dog",
    "**Wait!** It's 5 o'clock; isn't it?": "Wait It's five o'clock isn't it",
    "She paid $12.50, on 3 May.": "She paid twelve dollars and fifty cents on the third of May",
    "Zyxqor blorped a fnord \U0001f600.": "Zyxqor blorped a fnord",
}


@pytest.mark.parametrize(
    ("text", "speed"), [*((text, 1.0) for text in TEXTS), ("The quick brown fox jumps over the lazy dog.", 1.7)]
)
def test_times_of_words_and_visemes_fit_the_audio(voice: LiveServer, text: str, speed: float) -> None:
    said = post(voice, input=text, include_visemes=True, response_format="pcm", speed=speed).json()
    visemes, words = said["visemes"], said["words"]

    assert visemes[0]["start_time"] == 0
    assert visemes[-1]["end_time"] == said["duration"] == len(base64.b64decode(said["audio"])) / 2 / RATE
    assert all(one["end_time"] == next["start_time"] for one, next in pairwise(visemes))
    assert all(one["start_time"] < one["end_time"] for one in visemes)
    assert " ".join(word["word"] for word in words).lower() == TEXTS[text].lower()
    assert all(one["end_time"] <= next["start_time"] for one, next in pairwise(words))
    for word in words:
        within = [v for v in visemes if word["start_time"] <= v["start_time"] < word["end_time"]]
        assert any(v["viseme"] != "sil" for v in within), word


@pytest.mark.timeout(3600)
@some(4)
@given(text=texts, name=st.sampled_from(["af_bella", "am_fenrir", "bf_emma"]), speed=st.sampled_from([1.0, 4.0]))
def test_times_of_any_text_fit_the_audio_and_include_every_word(
    voice: LiveServer, text: str, name: str, speed: float
) -> None:
    answer = post(voice, input=text, voice=name, speed=speed, response_format="pcm", include_visemes=True)
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


def test_audio_is_louder_during_speech_visemes_than_during_silent_ones(spoken: dict[str, Any]) -> None:
    sound = np.frombuffer(base64.b64decode(spoken["audio"]), "<i2").astype(float)
    loud, quiet = (
        np.concatenate(
            [
                sound[round(v["start_time"] * RATE) : round(v["end_time"] * RATE)]
                for v in spoken["visemes"]
                if (v["viseme"] == "sil") == silent
            ]
        ).std()
        for silent in (False, True)
    )
    assert loud > 5 * quiet


@pytest.mark.parametrize("viseme_set", ["azure", "arkit", "rhubarb"])
def test_every_viseme_set_has_the_same_times_and_audio(voice: LiveServer, viseme_set: str) -> None:
    said = post(voice, input=SHORT, include_visemes=True, viseme_set=viseme_set).json()
    visemes = said["visemes"]
    assert visemes[-1]["end_time"] == said["duration"]
    assert all(one["end_time"] == next["start_time"] for one, next in pairwise(visemes))
    assert all(("blendshapes" in viseme) == (viseme_set == "arkit") for viseme in visemes)


def test_twice_as_fast_takes_about_half_as_long(voice: LiveServer, spoken: dict[str, Any]) -> None:
    fast = post(voice, input=THREE, include_visemes=True, speed=2).json()
    spoken = [sum(word["end_time"] - word["start_time"] for word in said["words"]) for said in (spoken, fast)]
    assert spoken[1] / spoken[0] == pytest.approx(0.5, abs=0.15)


def test_three_concurrent_voices_produce_the_same_audio_as_one_after_the_other(
    voice: LiveServer, spoken: dict[str, Any]
) -> None:
    voices = ["af_heart", "am_michael", "bf_emma:0.5,bm_george:0.5"]

    def say(name: str) -> bytes:
        return post(voice, input=THREE, voice=name, response_format="pcm").content

    alone = [base64.b64decode(spoken["audio"]), *map(say, voices[1:])]
    with ThreadPoolExecutor() as pool:
        together = list(pool.map(say, voices))

    assert together == alone
    assert len(set(alone)) == 3


def test_a_disconnect_stops_the_engine_before_its_next_sentences(voice: LiveServer) -> None:
    """Forty sentences keep the engine busy for a minute; after a disconnect, it synthesizes at most one more."""
    before = queue_stats(voice.url)
    body = {"model": "any", "voice": "af_heart", "input": LONG, "response_format": "pcm"}
    with httpx.stream("POST", f"{voice.url}/v1/audio/speech", json=body, timeout=PATIENCE) as response:
        next(response.iter_raw())

    eventually(lambda: queue_stats(voice.url)["active"] == 0, within=30)
    assert queue_stats(voice.url)["cancelled"] == before["cancelled"] + 1
    engine = psutil.Process(voice.engine().pid)
    eventually(lambda: engine.cpu_percent(interval=0.5) < 20, within=30)


def test_openai_s_voices_work_and_are_listed(voice: LiveServer) -> None:
    listed = httpx.get(f"{voice.url}/v1/audio/voices", timeout=PATIENCE).json()["data"]
    aliases = {alias: one["id"] for one in listed for alias in one["aliases"]}
    english = [one["id"] for one in listed if one["language"] in ("en-US", "en-GB")]

    assert aliases == dict(OPENAI_VOICES)
    assert len(english) == 28


def test_an_unsupported_value_is_refused_by_name(voice: LiveServer, client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match=r"af_heart.*alloy"):
        client.audio.speech.create(model="any", voice="zork", input=SHORT)
    assert_error(post(voice, input=SHORT, language="klingon"), 400, "invalid_request_error", param="language")
    assert_error(post(voice, input=" "), 400, "invalid_request_error", param="input")
    assert_error(post(voice, input="a" * 300_000), 400, "invalid_request_error", param="input")


def test_instructions_are_noted(voice: LiveServer) -> None:
    answer = post(voice, input=SHORT, instructions="Whisper.")
    assert answer.status_code == 200
    assert answer.headers["x-ignored-parameters"] == "instructions"


@pytest.mark.parametrize("text", ["\U0001f44d\U0001f3fd", "...", "\u2014 !"])
def test_text_without_words_gives_a_quarter_of_a_second_of_silence(voice: LiveServer, text: str) -> None:
    answer = post(voice, input=text, response_format="pcm")
    assert (answer.status_code, answer.content) == (200, bytes(RATE // 4 * 2))


def test_the_speak_command_writes_audio_and_visemes(voice: LiveServer, tmp_path: Path) -> None:
    arguments = ["speak", SHORT, "--url", voice.url, "-o", "a.flac", "--visemes", "a.json", "--voice", "nova"]
    ran = subprocess.run(
        [str(COMMAND), *arguments], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stderr
    spoken = json.loads((tmp_path / "a.json").read_text())
    assert samples("flac", (tmp_path / "a.flac").read_bytes()) == round(spoken["duration"] * RATE)
    assert [word["word"] for word in spoken["words"]] == ["Good", "morning"]


def test_speech_over_its_timeout_is_an_error(voice: LiveServer) -> None:
    answer = post(voice, input=LONG, timeout=0.2, include_visemes=True)
    assert_error(answer, 504, "timeout", type="server_error", param=None)
