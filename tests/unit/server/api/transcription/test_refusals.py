"""Forms that cannot be transcribed, hints that have no effect, and bodies that are no form."""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from msgspec import structs

from providers.errors import InvalidRequest
from providers.transcription.types import TranscriptionEvent, TranscriptionRequest
from tests.unit.server.api.transcription.transcribers import (
    FakeTranscriber,
    ask,
    left_behind,
    make_app,
)
from tests.unit.server.harness import start


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


@pytest.fixture
def decoded() -> Iterator[list[bytes]]:
    """What the codec `counted` decodes."""
    texts: list[bytes] = []

    def decode(data: bytes, errors: str) -> tuple[str, int]:
        texts.append(bytes(data))
        return "", len(data)

    def find(name: str) -> codecs.CodecInfo | None:
        return codecs.CodecInfo(codecs.latin_1_encode, decode, name=name) if name == "counted" else None

    codecs.register(find)
    yield texts
    codecs.unregister(find)


@pytest.mark.parametrize("charset", ["counted", "punycode", "idna", "utf-7", "zlib_codec", "unicode_escape"])
async def test_text_in_an_encoding_that_may_take_long_is_refused_unread(charset: str, decoded: list[bytes]) -> None:
    """`punycode` takes quadratic time, on the event loop: seconds for 200 kB."""
    part = TEXT_PART.format(charset).encode()
    answer = await start(
        make_app(FakeTranscriber()),
        path="/v1/audio/transcriptions",
        content=b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n' + part + b"abc-\r\n--b--\r\n",
        headers={"content-type": "multipart/form-data; boundary=b"},
    ).finished()
    assert (answer.status, answer.error["param"]) == (400, "prompt")
    assert "not text in UTF-8" in answer.error["message"]
    assert decoded == []


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
