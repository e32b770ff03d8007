"""Recordings in the turns of a chat, read as their transcripts."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from providers.errors import InvalidRequest
from providers.transcription.types import TranscriptionEvent, TranscriptionRequest
from server.api.generation.parts.recordings import MAX_RECORDINGS
from tests.unit.server.api.transcription.transcribers import FakeTranscriber
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app

DATA = base64.b64encode(b"sound").decode()
HEARD = "Hello <you>, world."


def recording(data: str = DATA) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def body(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    content = [*parts, {"type": "text", "text": "Why?"}]
    return {"model": "any", "messages": [{"role": "user", "content": content}], **fields}


def app(*models: Any, **settings: Any) -> Any:
    return make_app(*models, **settings)


def read(chat: FakeChat) -> str:
    prompt: Any = chat.requests[-1].prompt
    return str(prompt.messages[0].content)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_model_reads_what_another_hears_and_the_response_names_that_one(stream: bool) -> None:
    chat, whisper = FakeChat(), FakeTranscriber()
    answer = await ask(app(chat, whisper), json=body(recording(), audio_input="transcribe", stream=stream))
    assert answer.status == 200
    assert answer.headers["x-transcription-model"] == "whisper"
    assert read(chat) == f"{HEARD}\nWhy?"
    assert whisper.files == [b"sound"]
    assert not Path(whisper.requests[0].path).exists()  # noqa: ASYNC240


async def test_a_recording_is_transcribed_once_in_a_conversation() -> None:
    chat, whisper = FakeChat(), FakeTranscriber()
    served = app(chat, whisper, audio_input="transcribe")
    for _ in range(2):
        await ask(served, json=body(recording()))
        assert read(chat) == f"{HEARD}\nWhy?"
    assert len(whisper.requests) == 1


async def test_without_consent_or_a_model_recordings_are_refused() -> None:
    chat, whisper = FakeChat(), FakeTranscriber()
    for answer in (
        await ask(app(chat, whisper), json=body(recording())),
        await ask(app(chat, whisper, audio_input="transcribe"), json=body(recording(), audio_input="refuse")),
    ):
        assert (answer.status, answer.error["param"]) == (400, "messages[0].content[0].type")
    answer = await ask(app(chat), json=body(recording(), audio_input="transcribe"))
    assert (answer.error["code"], answer.error["param"]) == ("unsupported_parameter", "audio_input")
    assert not whisper.requests
    answer = await ask(app(chat), json=body(audio_input="transcribe"))
    assert answer.status == 200
    assert "x-transcription-model" not in answer.headers


async def test_a_recording_that_cannot_be_read_is_refused_by_its_place() -> None:
    async def deaf(_: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
        raise InvalidRequest("no sound", param="file")
        yield

    served = app(FakeChat(), FakeTranscriber(script=deaf), audio_input="transcribe")
    for data, said in (("*", "not base64"), (DATA, "no sound")):
        answer = await ask(served, json=body(recording(data)))
        assert (answer.status, answer.error["param"]) == (400, "messages[0].content[0].input_audio.data")
        assert said in answer.error["message"]


async def test_a_request_has_a_limit_of_recordings() -> None:
    served = app(FakeChat(), FakeTranscriber(), audio_input="transcribe")
    answer = await ask(served, json=body(*(MAX_RECORDINGS + 1) * [recording()]))
    assert answer.error["param"] == f"messages[0].content[{MAX_RECORDINGS}].input_audio.data"
