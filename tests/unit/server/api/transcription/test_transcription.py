"""`/v1/audio/transcriptions` and `/translations`: forms, every format of the response, and no file left behind."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import srt as srt_parser
import webvtt
from msgspec import structs

from providers.errors import EngineCrashed, InvalidRequest
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
from tests.unit.server.harness import WAIT, start

TEXT = "Hello <you>, world."


@pytest.fixture(autouse=True)
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads in a folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


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


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "param", "code"),
    [
        ({"temperature": "1.5"}, "temperature", "invalid_request_error"),
        ({"temperature": "warm"}, "temperature", "invalid_request_error"),
        ({"temperature": ["0", "1"]}, "temperature", "invalid_request_error"),
        ({"timeout": "0"}, "timeout", "invalid_request_error"),
        ({"timeout": "nan"}, "timeout", "invalid_request_error"),
        ({"stream": "maybe"}, "stream", "invalid_request_error"),
        ({"response_format": "yaml"}, "response_format", "invalid_request_error"),
        ({"timestamp_granularities[]": "letter"}, "timestamp_granularities[0]", "invalid_request_error"),
        ({"stream": "true", "response_format": "srt"}, "stream", "invalid_request_error"),
        ({"response_format": "diarized_json"}, "response_format", "unsupported_parameter"),
    ],
)
async def test_a_parameter_that_cannot_be_honoured_is_refused_by_name(
    data: dict[str, Any], param: str, code: str
) -> None:
    transcriber = FakeTranscriber()
    answer = await ask(make_app(transcriber), data)
    assert (answer.status, answer.error["param"], answer.error["code"]) == (400, param, code)
    assert transcriber.requests == []


@pytest.mark.parametrize(
    ("data", "header"),
    [
        ({"keywords[]": ["Ann", "Oslo"]}, "keywords"),
        ({"known_speaker_names[]": "ann"}, "known_speaker_names"),
        ({"known_speaker_references[]": "data:,"}, "known_speaker_references"),
        ({"languages[]": ["en", "fr"]}, "languages"),
        ({"include[]": "telepathy"}, "include.telepathy"),
        ({"include[]": "logprobs", "response_format": "text"}, "include.logprobs"),
        ({"include[]": "progress"}, "include.progress"),
        ({"timestamp_granularities[]": ["word", "segment"]}, "timestamp_granularities.word"),
    ],
)
async def test_hints_that_the_model_cannot_take_are_noted(data: dict[str, Any], header: str) -> None:
    plain, transcriber = FakeTranscriber(), FakeTranscriber()
    form = {"response_format": data["response_format"]} if "response_format" in data else {}
    expected = await ask(make_app(plain), form)
    answer = await ask(make_app(transcriber), data)
    assert (answer.status, answer.headers["x-ignored-parameters"]) == (200, header)
    assert answer.body == expected.body
    requests = [structs.replace(one.requests[0], id="", path="") for one in (plain, transcriber)]
    assert requests[0] == requests[1]


@pytest.mark.parametrize(
    ("data", "language"),
    [
        ({"languages[]": "fr"}, "fr"),
        ({"languages": "fr-CA"}, "fr"),
        ({"languages[]": "fr", "language": "de"}, "de"),
        ({"languages[]": ["fr", "de"]}, None),
    ],
)
async def test_a_single_one_of_several_languages_is_the_language(data: dict[str, Any], language: str | None) -> None:
    transcriber = FakeTranscriber()
    assert (await ask(make_app(transcriber), data)).status == 200
    assert transcriber.requests[0].language == language


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"file": None}, "file: required, but missing"),
        ({"file": None, "data": {"file": "text"}}, "file: expected a file, got a string"),
    ],
)
async def test_a_missing_file_is_named(options: dict[str, Any], message: str) -> None:
    answer = await ask(make_app(FakeTranscriber()), **options)
    assert (answer.status, answer.error["param"], answer.error["message"]) == (400, "file", message)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "param"),
    [
        (b"{}", "application/json", 415, None),
        (b"a=b", "application/x-www-form-urlencoded", 415, None),
        (b"", "multipart/form-data", 400, None),
        (b"", "multipart/form-data; boundary=b", 400, "file"),
        (b"no form at all", "multipart/form-data; boundary=b", 400, None),
        (b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx', "multipart/form-data; boundary=b", 400, None),
        (
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n\xff\xfe\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            400,
            "model",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="model"\r\nContent-Type: text/plain; charset=klingon\r\n\r\n'
            b"x\r\n--b--\r\n",
            "multipart/form-data; boundary=b",
            400,
            "model",
        ),
    ],
)
async def test_a_body_that_is_no_form_is_refused(body: bytes, content_type: str, status: int, param: str) -> None:
    app = make_app(FakeTranscriber())
    answer = await start(
        app, path="/v1/audio/transcriptions", content=body, headers={"content-type": content_type}
    ).finished()
    assert (answer.status, answer.error["param"]) == (status, param)


TEXT_PART = "Content-Type: text/plain; charset={}\r\n\r\n"


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-7", "zlib_codec", "unicode_escape"])
async def test_text_in_an_encoding_that_takes_long_is_refused_unread(charset: str) -> None:
    head = (
        f'--b\r\nContent-Disposition: form-data; name="prompt"\r\nContent-Type: text/plain; charset={charset}\r\n\r\n'
    )
    begun = time.process_time()
    answer = await start(
        make_app(FakeTranscriber()),
        path="/v1/audio/transcriptions",
        content=head.encode() + b"-" + b"a" * 200_000 + b"\r\n--b--\r\n",
        headers={"content-type": "multipart/form-data; boundary=b"},
    ).finished()
    assert (answer.status, answer.error["param"]) == (400, "prompt")
    assert time.process_time() - begun < 1, "punycode took seconds, on the event loop"


async def test_text_in_latin_1_is_read() -> None:
    app = make_app(FakeTranscriber())
    form = (
        f'--b\r\nContent-Disposition: form-data; name="prompt"\r\n{TEXT_PART.format("ISO-8859-1")}é\r\n'
        '--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nany\r\n'
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nx\r\n--b--\r\n'
    ).encode("latin-1")
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await start(app, path="/v1/audio/transcriptions", content=form, headers=headers).finished()
    assert answer.status == 200


async def test_a_file_over_the_bound_is_too_large() -> None:
    app = make_app(FakeTranscriber(), max_upload_bytes=1000)
    assert (await ask(app, file=b"x" * 1000)).status == 200
    refused = await ask(app, file=b"x" * 1001)
    assert (refused.status, refused.error["code"]) == (413, "request_too_large")
    assert "1,000 bytes; --max-upload sets" in refused.error["message"]
    larger = await ask(app, file=b"x" * 3_000_000)
    assert (larger.status, "--max-upload" in larger.error["message"]) == (413, True)


async def test_a_file_may_be_larger_than_other_bodies() -> None:
    app = make_app(FakeTranscriber(), max_body_bytes=1000, max_upload_bytes=100_000)
    assert (await ask(app, file=b"x" * 50_000)).status == 200


async def test_a_refusal_of_the_model_comes_before_a_stream_begins() -> None:
    async def refuse(request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
        raise InvalidRequest("file: this cannot be read as audio", param="file")
        yield

    answer = await ask(make_app(FakeTranscriber(script=refuse)), {"stream": "true"})
    assert (answer.status, answer.error["param"]) == (400, "file")
    assert left_behind() == []


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
