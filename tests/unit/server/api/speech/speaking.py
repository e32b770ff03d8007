"""Applications with a speech model: the echo, or one with a test's script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NoReturn

import attrs
from litestar import Litestar

from providers.echo.provider import EchoProvider
from providers.errors import QueueFull
from providers.protocols import ModelCard, ModelStatus, QueueStats
from providers.registry import ModelRegistry
from providers.spec import ModelSpec
from providers.speech.types import (
    PhonemeSpan,
    SpeechAccepted,
    SpeechEvent,
    SpeechFinished,
    SpeechPiece,
    SpeechRequest,
    VoiceInfo,
    WordSpan,
)
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.harness import Exchange, ask, start

PATH = "/v1/audio/speech"
BODY: dict[str, Any] = {"model": "any", "input": "Hello there. How are you?", "voice": "af_heart"}

Script = Callable[[SpeechRequest], AsyncGenerator[SpeechEvent, None]]

VOICES = [
    VoiceInfo("af_heart", "en-US", "female", "Heart"),
    VoiceInfo("jf_alpha", "ja-JP", "female", "Alpha", spoken=False),
]


def piece(start: int = 0, samples: int = 12_000, text: str = "Hi.") -> SpeechPiece:
    """Half a second with one word."""
    end = start + samples
    sounds = [PhonemeSpan("", start, start + 600), PhonemeSpan("h", start + 600, start + 1800)]
    return SpeechPiece(
        text,
        bytes(2 * samples),
        [*sounds, PhonemeSpan("I", start + 1800, end)],
        [WordSpan("Hi", start + 600, end)],
        0.1,
    )


async def two_sentences(_: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
    yield SpeechAccepted(2, 8)
    yield piece()
    yield piece(12_000)
    yield SpeechFinished(24_000, 0.2)


@attrs.define(kw_only=True)
class FakeSpeech:
    """Speaks by its script; remembers its requests, and whether its generators were closed."""

    name: str = "org/voice"
    script: Script = two_sentences
    status: ModelStatus = "ready"
    queue_stats: QueueStats = attrs.field(factory=QueueStats)
    full: bool = False
    known: Sequence[VoiceInfo] = tuple(VOICES)
    requests: list[SpeechRequest] = attrs.field(factory=list)
    started: asyncio.Event = attrs.field(factory=asyncio.Event)
    closed: asyncio.Event = attrs.field(factory=asyncio.Event)

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(name=self.name, path="", model_type="tts")

    @property
    def card(self) -> ModelCard:
        return ModelCard(id=self.name, created=1_700_000_000, capabilities=("speech",), status=self.status)

    async def start(self) -> None: ...

    async def wait_ready(self) -> None: ...

    async def stop(self) -> None: ...

    def refuse_full(self) -> NoReturn:
        raise QueueFull("as many as may")

    def begin_drain(self) -> None: ...

    async def voices(self) -> Sequence[VoiceInfo]:
        return self.known

    async def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        self.requests.append(request)
        self.started.set()
        try:
            async for event in self.script(request):
                yield event
        finally:
            self.closed.set()


def speaking(*speakers: FakeSpeech, **settings: Any) -> Litestar:
    """The service with these speech models."""
    by_name = {speaker.spec.name: speaker for speaker in speakers}
    specs = tuple(speaker.spec for speaker in speakers)
    registry = ModelRegistry(specs, factories={"tts": lambda spec: by_name[spec.name]})
    return create_app(Settings(**{"models": specs, "grace_period": 0.05, **settings}), registry)


async def echoing(path: str = "", **spec: Any) -> Litestar:
    """The service with the echo."""
    model = ModelSpec(name="echo", path=path, model_type="echo", **spec)
    registry = ModelRegistry((model,), factories={"echo": EchoProvider})
    await registry.start()
    return create_app(Settings(models=(model,)), registry)


async def speak(app: Litestar, **fields: Any) -> Exchange:
    """Send a speech request and wait for the whole response. A field that is None is left out."""
    return await ask(app, path=PATH, json={name: v for name, v in {**BODY, **fields}.items() if v is not None})


def begin(app: Litestar, **fields: Any) -> Exchange:
    """Send a speech request and return immediately."""
    return start(app, path=PATH, json={**BODY, **fields})
