"""Sound of the user: the buffer, turns that are made of it, their transcripts, and what the model reads."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import soundfile
from litestar import Litestar

from providers.chat.types import ChatPrompt
from providers.errors import EngineCrashed
from providers.transcription.types import TranscriptionEvent, TranscriptionRequest
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.api.realtime.sockets import Socket, connected
from tests.unit.server.api.spoken.apps import repeat
from tests.unit.server.api.transcription.transcribers import FakeTranscriber, hello
from tests.unit.server.fakes import FakeChat, FakeRegistry

TONE = (8000 * np.sin(np.arange(24_000) / 20)).astype(np.int16).tobytes()
"""A second."""
SEEN = {"audio": {"input": {"transcription": {"language": "en-US", "prompt": "Names."}}}}


def hearing_app(chat: FakeChat, transcriber: FakeTranscriber) -> Litestar:
    registry = FakeRegistry((chat, transcriber))  # type: ignore[arg-type]
    return create_app(Settings(models=(chat.spec, transcriber.spec), grace_period=0.05), registry)


def append(socket: Socket, pcm: bytes, size: int = 9601) -> None:
    """Append sound that the client commits itself."""
    socket.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
    for begin in range(0, len(pcm), size):
        socket.send("input_audio_buffer.append", audio=b64encode(pcm[begin : begin + size]).decode())


def said(chat: FakeChat) -> list[Any]:
    prompt = chat.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    return [turn.content for turn in prompt.messages]


async def test_a_recording_has_a_transcript_before_it_is_transcribed() -> None:
    """OpenAI's agents SDK ends its process over an item without one."""
    audio = b64encode(TONE).decode()
    message = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
    async with connected(hearing_app(FakeChat(script=repeat), FakeTranscriber())) as socket:
        append(socket, TONE)
        socket.send("input_audio_buffer.commit")
        await socket.until("conversation.item.done")
        socket.send("conversation.item.create", item=message)
        await socket.until("conversation.item.done")
    added = [e["item"]["content"] for e in socket.events if e["type"] == "conversation.item.added"]
    assert added == 2 * [[{"type": "input_audio", "transcript": ""}]]


async def test_a_turn_is_heard_and_answered() -> None:
    chat, ears = FakeChat(script=repeat), FakeTranscriber()
    async with connected(hearing_app(chat, ears)) as socket:
        socket.send("session.update", session=SEEN)
        append(socket, TONE)
        socket.send("input_audio_buffer.commit")
        socket.send("response.create")
        done = (await socket.until("response.done"))["response"]
    assert done["output"][0]["content"][0]["text"] == "Hello <you>, world."
    assert said(chat) == ["Hello <you>, world."]
    (committed,) = [e for e in socket.events if e["type"] == "input_audio_buffer.committed"]
    (completed,) = [e for e in socket.events if e["type"].endswith("input_audio_transcription.completed")]
    assert (completed["transcript"], completed["usage"]) == (
        "Hello <you>, world.",
        {"type": "duration", "seconds": 1.0},
    )
    assert completed["item_id"] == committed["item_id"]
    assert (ears.requests[0].language, ears.requests[0].prompt) == ("en", "Names.")
    heard, rate = soundfile.read(BytesIO(ears.files[0]), dtype="int16")
    assert (rate, heard.tobytes()) == (24_000, TONE)


async def test_transcripts_are_sent_only_if_the_client_wants_them() -> None:
    chat = FakeChat(script=repeat)
    async with connected(hearing_app(chat, FakeTranscriber())) as socket:
        append(socket, TONE)
        socket.send("input_audio_buffer.commit")
        socket.send("response.create")
        await socket.until("response.done")
    assert not [event for event in socket.events if "transcription" in event["type"]]
    assert said(chat) == ["Hello <you>, world."]


@pytest.mark.parametrize("format", ["audio/pcmu", "audio/pcma"])
async def test_g711_is_heard(format: str) -> None:
    ears = FakeTranscriber()
    async with connected(hearing_app(FakeChat(), ears)) as socket:
        socket.send("session.update", session={"audio": {"input": {"format": {"type": format}}}})
        append(socket, b"\xd5" * 8000, 799)
        socket.send("input_audio_buffer.commit")
        item = (await socket.until("conversation.item.done"))["item"]["id"]
        await asyncio.wait_for(ears.started.wait(), 10)
        socket.send("conversation.item.retrieve", item_id=item)
        (part,) = (await socket.until("conversation.item.retrieved"))["item"]["content"]
    heard, rate = soundfile.read(BytesIO(ears.files[0]), dtype="int16")
    assert (rate, len(heard)) == (24_000, 24_000)
    assert len(b64decode(part["audio"])) == 8000


async def test_the_buffer_is_cleared() -> None:
    async with connected(hearing_app(FakeChat(), FakeTranscriber())) as socket:
        append(socket, TONE)
        socket.send("input_audio_buffer.clear")
        await socket.until("input_audio_buffer.cleared")
        socket.send("input_audio_buffer.commit", event_id="mine")
        error = (await socket.until("error"))["error"]
    assert error["event_id"] == "mine"
    assert "empty" in error["message"]


@pytest.mark.parametrize("audio", ["%%%", "AAA"])
async def test_sound_that_is_no_base64(audio: str) -> None:
    async with connected(hearing_app(FakeChat(), FakeTranscriber())) as socket:
        socket.send("input_audio_buffer.append", audio=audio)
        assert (await socket.until("error"))["error"]["param"] == "audio"


async def test_a_turn_that_cannot_be_heard_fails_its_response_and_no_later_one() -> None:
    async def crash(_: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
        raise EngineCrashed("it died")
        yield

    chat, ears = FakeChat(script=repeat), FakeTranscriber(script=crash)
    async with connected(hearing_app(chat, ears)) as socket:
        socket.send("session.update", session=SEEN)
        append(socket, TONE)
        socket.send("input_audio_buffer.commit")
        socket.send("response.create")
        done = (await socket.until("response.done"))["response"]
        assert done["status_details"]["error"]["code"] == "engine_crashed"
        (failed,) = [e for e in socket.events if e["type"].endswith("input_audio_transcription.failed")]
        assert failed["error"]["code"] == "engine_crashed"
        ears.script = hello
        append(socket, TONE)
        socket.send("input_audio_buffer.commit")
        socket.send("response.create")
        assert (await socket.until("response.done"))["response"]["status"] == "completed"
    assert said(chat) == ["Hello <you>, world."]


async def test_recordings_in_items_are_heard() -> None:
    chat = FakeChat(script=repeat)
    parts = [{"type": "input_audio", "audio": b64encode(TONE).decode()}, {"type": "input_text", "text": "What?"}]
    async with connected(hearing_app(chat, FakeTranscriber())) as socket:
        item = {"id": "mine", "type": "message", "role": "user", "content": parts}
        socket.send("conversation.item.create", item=item)
        socket.send("response.create")
        await socket.until("response.done")
        socket.send("conversation.item.retrieve", item_id="mine")
        got = (await socket.until("conversation.item.retrieved"))["item"]["content"]
    assert said(chat) == ["Hello <you>, world.\nWhat?"]
    assert got[0] == {"type": "input_audio", "transcript": "Hello <you>, world.", "audio": b64encode(TONE).decode()}


async def test_recordings_in_the_input_of_a_response_are_heard() -> None:
    chat = FakeChat(script=repeat)
    parts = [{"type": "input_audio", "audio": b64encode(TONE).decode()}]
    async with connected(hearing_app(chat, FakeTranscriber())) as socket:
        given = [{"type": "message", "role": "user", "content": parts}]
        socket.send("response.create", response={"conversation": "none", "input": given})
        await socket.until("response.done")
    assert said(chat) == ["Hello <you>, world."]


async def test_a_transcription_session_hears_and_does_not_answer() -> None:
    chat = FakeChat()
    async with connected(hearing_app(chat, FakeTranscriber()), "/v1/realtime?intent=transcription") as socket:
        assert (await socket.until("session.created"))["session"]["type"] == "transcription"
        append(socket, TONE)
        socket.send("input_audio_buffer.commit")
        await socket.until("conversation.item.input_audio_transcription.completed")
        socket.send("response.create")
        assert "transcription session" in (await socket.until("error"))["error"]["message"]
    assert not chat.requests
