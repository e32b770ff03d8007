"""Recordings in the input of a response, read as their transcripts, and what is stored of them."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from contracts.responses.items import InputAudioContent, InputMessage, InputTextContent
from providers.errors import InvalidRequest
from providers.transcription.types import TranscriptionEvent, TranscriptionRequest
from server.api.generation.parts.recordings import MAX_RECORDINGS
from server.api.responses.conversation import message_text
from tests.unit.server.api.showing import CALL, RESPONSES, read, response
from tests.unit.server.api.transcription.transcribers import FakeTranscriber
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app

DATA = base64.b64encode(b"sound").decode()
HEARD = "Hello <you>, world."
COUNTS = f"{RESPONSES}/input_tokens"
PLACE = "input[0].content[0].input_audio.data"


def recording(data: Any = DATA) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_model_reads_what_another_hears_and_the_response_names_that_one(stream: bool) -> None:
    chat, whisper = FakeChat(), FakeTranscriber()
    body = response(recording(), audio_input="transcribe", stream=stream)
    answer = await ask(make_app(chat, whisper), path=RESPONSES, json=body)
    assert answer.status == 200
    assert answer.headers["x-transcription-model"] == "whisper"
    assert "x-ignored-parameters" not in answer.headers
    assert read(chat) == [f"{HEARD}\nWhy?"]
    assert whisper.files == [b"sound"]


async def test_a_stored_response_keeps_the_transcript_and_not_the_sound() -> None:
    chat, whisper = FakeChat(), FakeTranscriber()
    app = make_app(chat, whisper)
    first = await ask(app, path=RESPONSES, json=response(recording(), audio_input="transcribe"))
    items = (await ask(app, "GET", f"{RESPONSES}/{first.json['id']}/input_items")).json["data"]
    assert {name: value for name, value in items[0]["content"][0].items() if value is not None} == {
        "type": "input_audio",
        "transcript": HEARD,
    }
    again = {"model": "any", "input": "And?", "previous_response_id": first.json["id"]}
    assert (await ask(app, path=RESPONSES, json=again)).status == 200
    assert read(chat) == [f"{HEARD}\nWhy?", "Hello", "And?"]
    assert (await ask(app, path=RESPONSES, json={"model": "any", "input": items})).status == 200
    assert read(chat) == [f"{HEARD}\nWhy?"]
    assert len(whisper.requests) == 1


async def test_without_consent_or_a_model_recordings_are_refused() -> None:
    chat, whisper = FakeChat(), FakeTranscriber()
    app = make_app(chat, whisper, audio_input="transcribe")
    for answer in (
        await ask(make_app(chat, whisper), path=RESPONSES, json=response(recording())),
        await ask(app, path=RESPONSES, json=response(recording(), audio_input="refuse")),
    ):
        assert (answer.status, answer.error["param"]) == (400, "input[0].content[0].type")
    answer = await ask(make_app(chat), path=RESPONSES, json=response(recording(), audio_input="transcribe"))
    assert (answer.error["code"], answer.error["param"]) == ("unsupported_parameter", "audio_input")
    assert not whisper.requests
    answer = await ask(app, path=RESPONSES, json=response())
    assert "x-transcription-model" not in answer.headers


async def test_the_tokens_of_a_transcript_are_counted() -> None:
    app = make_app(FakeChat(), FakeTranscriber())
    counted = await ask(app, path=COUNTS, json=response(recording(), audio_input="transcribe"))
    assert counted.json["input_tokens"] == len(f"{HEARD}\nWhy?")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (recording("*"), "not base64"),
        (recording("data:audio/wav"), "comma"),
        (recording(5), "required, as text"),
        (recording(None), "required, as text"),
        ({"type": "input_audio"}, "required, as text"),
        ({"type": "input_audio", "input_audio": DATA}, "required, as text"),
        ({"type": "input_audio", "input_audio": {}}, "required, as text"),
        (recording(base64.b64encode(bytes(2000)).decode()), "more than 1,000 bytes"),
        (recording(), "no sound"),
    ],
)
async def test_a_recording_that_cannot_be_read_is_refused_by_its_place(part: dict[str, Any], words: str) -> None:
    async def deaf(_: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
        raise InvalidRequest("no sound", param="file")
        yield

    app = make_app(FakeChat(), FakeTranscriber(script=deaf), audio_input="transcribe", max_media=1000)
    answer = await ask(app, path=RESPONSES, json=response(part))
    assert (answer.status, answer.error["param"]) == (400, PLACE)
    assert words in answer.error["message"]


async def test_a_request_has_a_limit_of_recordings() -> None:
    app = make_app(FakeChat(), FakeTranscriber(), audio_input="transcribe")
    answer = await ask(app, path=RESPONSES, json=response(*(MAX_RECORDINGS + 1) * [recording()]))
    assert answer.error["param"] == f"input[0].content[{MAX_RECORDINGS}].input_audio.data"


@pytest.mark.parametrize("part", [recording(), recording(5), {"type": "input_audio", "input_audio": DATA}])
async def test_recordings_of_tools_are_not_heard(part: dict[str, Any]) -> None:
    chat, whisper = FakeChat(), FakeTranscriber()
    app = make_app(chat, whisper, audio_input="transcribe")
    body = response()
    body["input"] += [CALL, {"type": "function_call_output", "call_id": "c", "output": [part]}]
    answer = await ask(app, path=RESPONSES, json=body)
    assert answer.headers["x-ignored-parameters"] == "input[].output[].input_audio"
    assert read(chat)[-1] == "[audio]"
    items = (await ask(app, "GET", f"{RESPONSES}/{answer.json['id']}/input_items")).json["data"]
    assert DATA not in str(items)
    assert not whisper.requests


def test_a_search_uses_what_was_said() -> None:
    parts = [
        InputAudioContent(type="input_audio", transcript="When?"),
        InputTextContent(type="input_text", text="Why?"),
    ]
    assert message_text(InputMessage(role="user", content=[*parts])) == "When?\nWhy?"
