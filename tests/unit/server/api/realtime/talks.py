"""A session to which recorded speech is said, and what its models hear and answer."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import numpy as np
from litestar import Litestar

from providers.chat.types import Accepted, ChatPrompt, GenerationEvent, GenerationRequest, TextDelta
from providers.echo.provider import EchoProvider
from providers.protocols import QueueStats
from providers.spec import ModelSpec
from providers.transcription.types import TranscriptionAccepted, TranscriptionEvent, TranscriptionRequest
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.providers.engines.recordings import silence
from tests.unit.server.api.realtime.audio.speech import pcm, recording
from tests.unit.server.api.realtime.sockets import Socket, connected
from tests.unit.server.api.spoken.apps import repeat
from tests.unit.server.api.transcription.transcribers import FINISHED, FakeTranscriber, segment
from tests.unit.server.fakes import FakeChat, FakeRegistry

__all__ = [
    "COMPLETED",
    "COUNTING",
    "HELLO",
    "STARTED",
    "STOPPED",
    "Talk",
    "prompt",
    "talk",
    "two_texts",
]

HELLO = pcm(np.concatenate([silence(0.5), recording("hello_world"), silence(0.8)]))
COUNTING = pcm(np.concatenate([silence(0.5), recording("counting"), silence(0.8)]))
STARTED, STOPPED = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"
COMPLETED = "conversation.item.input_audio_transcription.completed"


@attrs.define
class Ears:
    """Hears the next of the texts in each turn, and the last one from then on."""

    texts: list[str]

    async def __call__(self, request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
        yield TranscriptionAccepted(None)
        text = self.texts[0] if len(self.texts) == 1 else self.texts.pop(0)
        if text:
            yield segment(" " + text, 0.0, 1.0)
        yield FINISHED


async def two_texts(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    """A sentence that is spoken, and the beginning of another one. Then nothing."""
    yield Accepted(5, 0)
    yield TextDelta("One two three four five six. ")
    yield TextDelta("Seven ")
    await asyncio.Event().wait()


@attrs.define
class Talk:
    app: Litestar
    registry: FakeRegistry
    socket: Socket
    chat: FakeChat
    ears: FakeTranscriber

    def say(self, sound: bytes, size: int = 4800) -> None:
        for begin in range(0, len(sound), size):
            audio = b64encode(sound[begin : begin + size]).decode()
            self.socket.send("input_audio_buffer.append", audio=audio)

    def turns(self, **detection: Any) -> None:
        given = {"transcription": {}, "turn_detection": {"type": "server_vad", **detection}}
        self.socket.send("session.update", session={"audio": {"input": given}})

    async def now(self) -> None:
        """Wait until the server has handled all events that were sent."""
        self.socket.send("session.update", session={})
        await self.socket.until("session.updated")

    def answers(self) -> list[GenerationRequest]:
        return [request for request in self.chat.requests if not request.prefill_only]

    def busy(self) -> None:
        """Let another request wait for the model that transcribes: no windows are."""
        self.ears.queue_stats = QueueStats(pending=1)

    def count(self, type: str) -> int:
        return sum(event["type"] == type for event in self.socket.events)


def prompt(request: GenerationRequest) -> list[tuple[str, Any]]:
    assert isinstance(request.prompt, ChatPrompt)
    return [(turn.role, turn.content) for turn in request.prompt.messages]


@asynccontextmanager
async def talk(*texts: str, query: str = "", chat: FakeChat | None = None, **detection: Any) -> AsyncIterator[Talk]:
    chat = chat or FakeChat(script=repeat)
    ears = FakeTranscriber(script=Ears([*texts]))
    voice = EchoProvider(ModelSpec(name="voice", path="", model_type="echo"))
    await voice.start()
    registry = FakeRegistry((chat, voice, ears))  # type: ignore[arg-type]
    app = create_app(Settings(models=(chat.spec, voice.spec, ears.spec)), registry)
    async with connected(app, f"/v1/realtime?model=org/fake{query}") as socket:
        made = Talk(app, registry, socket, chat, ears)
        made.turns(**detection)
        await socket.until("session.updated")
        yield made
