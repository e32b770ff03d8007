"""`/v1/audio/transcriptions` and `/translations`: forms, every format of the response, and no file left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
import srt as srt_parser
import webvtt

from providers.errors import EngineCrashed
from providers.transcription.types import TranscriptionAccepted, TranscriptionEvent, TranscriptionRequest
from tests.unit.server.api.transcription.transcribers import (
    SAID,
    FakeTranscriber,
    ask,
    begin,
    left_behind,
    make_app,
    silence,
)
from tests.unit.server.harness import WAIT

TEXT = "Hello <you>, world."


# ── what reaches the model ──────────────────────────────────────────────────────────────────────────────────


async def test_a_form_reaches_the_model_with_its_file() -> None:
    transcriber = FakeTranscriber()
    audio = bytes(range(256)) * 8192  # larger than the part that stays in memory

    answer = await ask(
        make_app(transcriber),
        {"language": "en", "prompt": "Names: Ann.", "temperature": "0.5", "timeout": "30"},
        file=audio,
    )

    assert answer.status == 200
    assert transcriber.files == [audio]
    (request,) = transcriber.requests
    assert (request.language, request.prompt, request.temperature, request.timeout) == ("en", "Names: Ann.", 0.5, 30.0)
    assert (request.task, request.words, request.logprobs) == ("transcribe", False, False)
    assert request.id == answer.headers["x-request-id"]
    assert left_behind() == []


async def test_empty_fields_mean_the_same_as_missing_ones() -> None:
    transcriber = FakeTranscriber()
    answer = await ask(make_app(transcriber), {"language": "", "prompt": "", "temperature": ""})
    assert answer.status == 200
    assert (transcriber.requests[0].language, transcriber.requests[0].prompt) == (None, None)


@pytest.mark.parametrize(
    ("given", "language"),
    [
        ("en-US", "en"),
        ("pt_BR", "pt"),
        ("zh-Hans-CN", "zh"),
        ("EN", "en"),
        ("english", "english"),
        ("auto", None),
        ("Auto", None),
        ("", None),
    ],
)
async def test_a_language_may_have_a_region_and_may_be_left_to_the_model(given: str, language: str | None) -> None:
    transcriber = FakeTranscriber()
    assert (await ask(make_app(transcriber), {"language": given})).status == 200
    assert transcriber.requests[0].language == language


@pytest.mark.parametrize(
    ("fields", "detects"), [({}, True), ({"vad_filter": "true"}, True), ({"vad_filter": "false"}, False)]
)
async def test_the_detector_of_speech_can_be_turned_off(fields: dict[str, str], detects: bool) -> None:
    transcriber = FakeTranscriber()
    assert (await ask(make_app(transcriber), fields)).status == 200
    assert transcriber.requests[0].detect_speech is detects


@pytest.mark.parametrize(
    ("fields", "noted"),
    [
        ({"chunking_strategy": "auto"}, None),
        ({"chunking_strategy[type]": "server_vad"}, None),
        ({"chunking_strategy": '{"type":"server_vad","threshold":0.2}'}, "chunking_strategy"),
        ({"model": "", "colour": "red"}, "colour"),
    ],
)
async def test_how_a_recording_is_cut_is_a_hint(fields: dict[str, str], noted: str | None) -> None:
    answer = await ask(make_app(FakeTranscriber()), fields)
    assert (answer.status, answer.headers.get("x-ignored-parameters")) == (200, noted)


@pytest.mark.parametrize("name", ["timestamp_granularities[]", "timestamp_granularities"])
async def test_lists_are_fields_sent_several_times_with_brackets_or_without(name: str) -> None:
    transcriber = FakeTranscriber()
    answer = await ask(make_app(transcriber), {name: ["word", "segment"], "response_format": "verbose_json"})
    assert answer.status == 200
    assert transcriber.requests[0].words
    assert {"words", "segments"} <= set(answer.json)


async def test_unknown_fields_are_ignored() -> None:
    assert (await ask(make_app(FakeTranscriber()), {"colour": "red", "size[width]": "3"})).status == 200


async def test_a_translation_reaches_the_model_as_its_task() -> None:
    transcriber = FakeTranscriber()
    answer = await ask(make_app(transcriber), {"response_format": "verbose_json"}, path="translations")
    assert transcriber.requests[0].task == "translate"
    assert (answer.json["task"], answer.json["language"]) == ("translate", "english")


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_json_is_the_text_and_its_usage() -> None:
    answer = await ask(make_app(FakeTranscriber()))
    assert answer.json == {"text": TEXT, "usage": {"type": "duration", "seconds": 3.5}}


async def test_log_probabilities_come_on_request() -> None:
    transcriber = FakeTranscriber()
    answer = await ask(make_app(transcriber), {"include[]": "logprobs"})
    assert transcriber.requests[0].logprobs
    assert answer.json["logprobs"] == [{"token": " Hello", "bytes": [*b" Hello"], "logprob": -0.1}]


async def test_text_is_text() -> None:
    answer = await ask(make_app(FakeTranscriber()), {"response_format": "text"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body.decode() == TEXT + "\n"


async def test_srt_is_read_by_an_independent_parser() -> None:
    answer = await ask(make_app(FakeTranscriber()), {"response_format": "srt"})
    cues = list(srt_parser.parse(answer.body.decode()))
    assert [cue.content for cue in cues] == ["Hello <you>,", "world."]
    assert [(cue.index, cue.start.total_seconds(), cue.end.total_seconds()) for cue in cues] == [
        (1, 0.0, 1.25),
        (2, 1.25, 3.5),
    ]


async def test_vtt_is_read_by_an_independent_parser() -> None:
    answer = await ask(make_app(FakeTranscriber()), {"response_format": "vtt"})
    assert answer.headers["content-type"] == "text/vtt; charset=utf-8"
    captions = list(webvtt.from_string(answer.body.decode()))
    assert [caption.raw_text for caption in captions] == ["Hello &lt;you&gt;,", "world."]
    assert [(caption.start_in_seconds, caption.end_in_seconds) for caption in captions] == [(0, 1), (1, 3)]
    assert captions[0].end == "00:00:01.250"


async def test_verbose_json_has_segments_unless_only_words_are_requested() -> None:
    segments = await ask(make_app(FakeTranscriber()), {"response_format": "verbose_json"})
    assert set(segments.json) == {"task", "language", "duration", "text", "segments", "usage"}
    assert [segment["id"] for segment in segments.json["segments"]] == [0, 1]
    assert segments.json["segments"][1]["text"] == SAID[1].text

    words = await ask(
        make_app(FakeTranscriber()), {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    )
    assert "segments" not in words.json
    assert words.json["words"][1] == {"word": "<you>,", "start": 0.5, "end": 1.25}


@pytest.mark.parametrize(
    ("form", "body"),
    [("text", b"\n"), ("srt", b""), ("vtt", b"WEBVTT\n")],
)
async def test_silence_is_empty(form: str, body: bytes) -> None:
    assert (await ask(make_app(FakeTranscriber(script=silence)), {"response_format": form})).body == body


async def test_silence_is_empty_in_json() -> None:
    answer = await ask(make_app(FakeTranscriber(script=silence)), {"response_format": "verbose_json"})
    assert (answer.json["text"], answer.json["segments"], answer.json["duration"]) == ("", [], 2.0)
    assert answer.json["language"] == "english"


async def test_a_stream_joins_to_the_text_of_its_last_event() -> None:
    answer = await ask(make_app(FakeTranscriber()), {"stream": "true", "include[]": ["progress", "logprobs"]})
    assert answer.headers["content-type"].startswith("text/event-stream")
    types = [chunk["type"] for chunk in answer.chunks]
    assert types == [
        "transcript.text.delta",
        "transcript.text.delta",
        "transcript.progress",
        "transcript.text.done",
    ]
    deltas = [chunk["delta"] for chunk in answer.chunks if "delta" in chunk]
    assert "".join(deltas) == answer.chunks[-1]["text"] == TEXT
    assert answer.chunks[-1]["logprobs"] == answer.chunks[0]["logprobs"]
    assert answer.chunks[2] == {"type": "transcript.progress", "position": 3.5, "duration": 3.5}
    assert left_behind() == []


async def test_progress_comes_only_on_request() -> None:
    answer = await ask(make_app(FakeTranscriber()), {"stream": "true"})
    assert "transcript.progress" not in [chunk["type"] for chunk in answer.chunks]


# ── no file stays ───────────────────────────────────────────────────────────────────────────────────────────


async def hold(request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
    yield TranscriptionAccepted(3.5)
    yield SAID[0]
    await asyncio.Event().wait()


@pytest.mark.parametrize("stream", ["true", "false"])
async def test_a_disconnect_leaves_no_file_behind(stream: str) -> None:
    transcriber = FakeTranscriber(script=hold)
    exchange = begin(make_app(transcriber), {"stream": stream})
    async with asyncio.timeout(WAIT):
        await transcriber.started.wait()
    assert len(left_behind()) == 1

    exchange.disconnect()
    await exchange.finished()

    assert left_behind() == []


@pytest.mark.parametrize("stream", ["true", "false"])
async def test_a_failure_leaves_no_file_behind(stream: str) -> None:
    async def crash(request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
        yield TranscriptionAccepted(3.5)
        yield SAID[0]
        raise EngineCrashed("the engine died")

    answer = await ask(make_app(FakeTranscriber(script=crash)), {"stream": stream})

    assert b"engine_crashed" in answer.body
    assert left_behind() == []
