"""Responses of `/v1/audio/speech`: audio, events, times of words and visemes."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
from litestar import Litestar

from contracts.speech import AudioFormat, VisemeSet
from providers.speech.types import SpeechAccepted, SpeechEvent, SpeechFinished, SpeechRequest
from providers.speech.voices import OPENAI_VOICES
from server.api.speech.encoders import FORMATS
from tests.unit.server.api.speech.sounds import RATE, decoded, frames_of_flac
from tests.unit.server.api.speech.speaking import BODY, PATH, FakeSpeech, begin, echoing, piece, speak, speaking
from tests.unit.server.harness import WAIT, ask

ALL_FORMATS: tuple[AudioFormat, ...] = get_args(AudioFormat)
DURATION = 1.775
"""Seconds of the echo's speech for `BODY`: 19 letters and 7 pauses."""


@pytest.fixture
async def app() -> Litestar:
    return await echoing()


@pytest.mark.parametrize("audio_format", ALL_FORMATS)
async def test_every_format_is_announced_and_decodes_to_the_same_length(
    app: Litestar, audio_format: AudioFormat
) -> None:
    answer = await speak(app, response_format=audio_format)

    assert answer.status == 200
    assert answer.headers["content-type"] == FORMATS[audio_format].media_type
    assert len(decoded(audio_format, answer.body)) / RATE == pytest.approx(DURATION, abs=1024 / RATE)


async def test_mp3_is_the_default(app: Litestar) -> None:
    assert (await speak(app)).headers["content-type"] == "audio/mpeg"


async def test_flac_has_its_length_unless_the_request_asks_for_a_stream(app: Litestar) -> None:
    whole = await speak(app, response_format="flac")
    stream = await speak(app, response_format="flac", stream_format="audio")

    assert int(whole.headers["content-length"]) == len(whole.body)
    assert "content-length" not in stream.headers
    assert np.array_equal(decoded("flac", whole.body), frames_of_flac(stream.body))


@pytest.mark.parametrize("audio_format", ALL_FORMATS)
async def test_a_file_that_is_not_streamed_has_its_length(app: Litestar, audio_format: AudioFormat) -> None:
    whole = await speak(app, response_format=audio_format, stream=False)
    stream = await speak(app, response_format=audio_format, stream=True)

    assert int(whole.headers["content-length"]) == len(whole.body)
    assert "content-length" not in stream.headers
    for answer in (whole, stream):
        assert answer.headers["content-disposition"] == f'attachment; filename="speech.{audio_format}"'
        assert answer.headers["content-type"] == FORMATS[audio_format].media_type
    if audio_format in ("wav", "flac"):
        assert soundfile.info(io.BytesIO(whole.body)).frames == round(DURATION * RATE)
    if audio_format == "wav":
        assert int.from_bytes(whole.body[40:44], "little") == len(whole.body) - 44


@pytest.mark.parametrize(
    ("audio_format", "beginning"),
    [("mp3", b"\xff\xf3"), ("opus", b"OggS"), ("aac", b"\xff\xf1"), ("wav", b"RIFF"), ("pcm", bytes(1200))],
)
async def test_a_sentence_is_sent_before_the_next_one_is_synthesized(
    audio_format: AudioFormat, beginning: bytes
) -> None:
    heard = asyncio.Event()

    async def script(_: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        yield SpeechAccepted(2, 8)
        yield piece()
        await asyncio.wait_for(heard.wait(), WAIT)
        yield piece(12_000)
        yield SpeechFinished(24_000, 0.2)

    exchange = begin(speaking(FakeSpeech(script=script)), response_format=audio_format)
    await exchange.until(beginning)
    first = len(exchange.body)
    heard.set()
    await exchange.finished()

    assert exchange.complete
    assert first < len(exchange.body)


async def test_times_come_with_the_audio_in_one_object(app: Litestar) -> None:
    answer = await speak(app, include_visemes=True, response_format="wav")
    body = answer.json

    assert answer.headers["content-type"] == "application/json"
    assert {name: body[name] for name in ("format", "sample_rate", "duration", "model")} == {
        "format": "wav",
        "sample_rate": RATE,
        "duration": DURATION,
        "model": "echo",
    }
    assert body["request_id"] == answer.headers["x-request-id"]
    assert [word["word"] for word in body["words"]] == ["Hello", "there", "How", "are", "you"]
    assert body["words"][0] == {
        "word": "Hello",
        "start_time": 0.05,
        "end_time": 0.425,
        "text": "Hello",
        "start_char": 0,
        "end_char": 5,
    }
    assert body["visemes"][:2] == [
        {"viseme": "sil", "viseme_id": 0, "phoneme": "", "start_time": 0.0, "end_time": 0.05},
        {"viseme": "kk", "viseme_id": 5, "phoneme": "h", "start_time": 0.05, "end_time": 0.125},
    ]
    assert len(decoded("wav", base64.b64decode(body["audio"]))) == round(DURATION * RATE)


@pytest.mark.parametrize("viseme_set", get_args(VisemeSet))
async def test_times_are_contiguous_and_end_with_the_audio(app: Litestar, viseme_set: VisemeSet) -> None:
    body = (await speak(app, include_visemes=True, viseme_set=viseme_set, response_format="pcm", speed=1.3)).json
    visemes = body["visemes"]

    assert visemes[0]["start_time"] == 0
    assert visemes[-1]["end_time"] == body["duration"] == len(base64.b64decode(body["audio"])) / 2 / RATE
    assert all(one["end_time"] == next["start_time"] for one, next in pairwise(visemes))
    for word in body["words"]:
        within = [v for v in visemes if word["start_time"] <= v["start_time"] < word["end_time"]]
        assert any(v["phoneme"] for v in within)


async def test_only_arkit_has_blend_shapes(app: Litestar) -> None:
    plain = (await speak(app, include_visemes=True)).json["visemes"]
    arkit = (await speak(app, include_visemes=True, viseme_set="arkit")).json["visemes"]

    assert not any("blendshapes" in viseme for viseme in plain)
    assert arkit[0]["blendshapes"] == {}
    assert all(viseme["blendshapes"] for viseme in arkit if viseme["phoneme"])


async def test_twice_as_fast_is_half_as_long(app: Litestar) -> None:
    slow = (await speak(app, include_visemes=True, speed=1)).json
    fast = (await speak(app, include_visemes=True, speed=2)).json

    assert fast["words"][0]["end_time"] - fast["words"][0]["start_time"] == pytest.approx(0.375 / 2)
    assert fast["duration"] < slow["duration"]


async def test_headtts_arrays_are_milliseconds_and_leave_silence_out(app: Litestar) -> None:
    body = (await speak(app, timing_format="headtts", response_format="wav", input="Hi you")).json

    assert body["audioEncoding"] == "wav"
    assert (body["words"], body["wtimes"], body["wdurations"]) == (["Hi", "you"], [50, 250], [150, 225])
    assert body["visemes"] == ["kk", "I", "I", "aa", "aa"]
    assert body["phonemes"] == ["h", "ɪ", "j", "ɑ", "ʌ"]
    assert (body["vtimes"], body["vdurations"]) == ([50, 125, 250, 325, 400], [75] * 5)
    assert len(decoded("wav", base64.b64decode(body["audio"]))) == RATE * 525 // 1000


@pytest.mark.parametrize("audio_format", ALL_FORMATS)
async def test_the_deltas_of_a_stream_make_one_file(app: Litestar, audio_format: AudioFormat) -> None:
    answer = await speak(app, stream_format="sse", response_format=audio_format)
    *deltas, done = answer.chunks
    audio = b"".join(base64.b64decode(delta["audio"]) for delta in deltas)
    sound = frames_of_flac(audio) if audio_format == "flac" else decoded(audio_format, audio)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert all(set(delta) == {"type", "audio"} for delta in deltas)
    assert len(sound) / RATE == pytest.approx(DURATION, abs=1024 / RATE)
    assert done == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 25, "output_tokens": 71, "total_tokens": 96},
        "duration": DURATION,
        "model": "echo",
        "request_id": answer.headers["x-request-id"],
    }


async def test_the_times_of_the_deltas_are_those_of_the_whole(app: Litestar) -> None:
    whole = (await speak(app, include_visemes=True)).json
    *deltas, _ = (await speak(app, include_visemes=True, stream_format="sse")).chunks

    assert len(deltas) >= 2
    assert [viseme for delta in deltas for viseme in delta["visemes"]] == whole["visemes"]
    assert [word for delta in deltas for word in delta["words"]] == whole["words"]


async def test_headtts_arrays_of_the_deltas_are_those_of_the_whole(app: Litestar) -> None:
    whole = (await speak(app, timing_format="headtts")).json
    *deltas, _ = (await speak(app, timing_format="headtts", stream_format="sse")).chunks

    for name in ("words", "wtimes", "wdurations", "visemes", "vtimes", "vdurations"):
        assert [value for delta in deltas for value in delta[name]] == whole[name]


@pytest.mark.parametrize("text", ["\U0001f44d", "...", "?!", "\u200b", "\u2014"])
@pytest.mark.parametrize("fields", [{"response_format": "pcm"}, {"include_visemes": True, "response_format": "pcm"}])
async def test_an_input_without_words_is_a_quarter_of_a_second_of_silence(
    app: Litestar, text: str, fields: dict[str, Any]
) -> None:
    answer = await speak(app, input=text, **fields)

    assert answer.status == 200
    if "include_visemes" not in fields:
        assert answer.body == bytes(RATE // 4 * 2)
        return
    assert answer.json["duration"] == 0.25
    assert answer.json["words"] == []
    assert [viseme["viseme"] for viseme in answer.json["visemes"]] == ["sil"]


@pytest.mark.parametrize("voice", ["alloy", "Alloy", {"id": "alloy"}, "af_alloy", {"id": "af_alloy"}, "af_alloy:1"])
async def test_a_voice_may_be_named_in_several_ways(app: Litestar, voice: Any) -> None:
    expected = await speak(app, voice="af_alloy", response_format="pcm")
    assert (await speak(app, voice=voice, response_format="pcm")).body == expected.body


@pytest.mark.parametrize("name", OPENAI_VOICES)
async def test_every_voice_of_openai_s_speaks(app: Litestar, name: str) -> None:
    assert (await speak(app, voice=name)).status == 200


async def test_a_mix_differs_from_each_of_its_voices(app: Litestar) -> None:
    bodies = [
        (await speak(app, voice=voice, response_format="pcm")).body
        for voice in ("af_heart", "am_michael", "af_heart:0.6,am_michael:0.4", "am_michael:2, af_heart:3")
    ]
    assert len(set(bodies)) == 3
    assert bodies[2] == bodies[3], "weights are relative"


async def test_without_a_voice_the_default_speaks(app: Litestar) -> None:
    assert (await speak(app, voice=None)).body == (await speak(app, voice="af_heart")).body


async def test_of_several_models_the_named_one_speaks() -> None:
    names = ["org/one", "org/two"]
    app = speaking(*(FakeSpeech(name=name) for name in names))

    for name in names:
        assert (await speak(app, model=name, include_visemes=True)).json["model"] == name
    refused = await speak(app, model="tts-1")
    assert (refused.status, refused.error["param"]) == (404, "model")
    assert "org/one, org/two" in refused.error["message"]


async def test_the_body_that_the_sdk_sends_is_enough(app: Litestar) -> None:
    assert (await ask(app, path=PATH, json=BODY)).status == 200
