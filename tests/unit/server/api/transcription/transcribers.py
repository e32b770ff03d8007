"""A transcription provider with a script per test, and the forms that reach it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import attrs
import httpx
from litestar import Litestar

from providers.errors import ModelNotFound, QueueFull
from providers.protocols import Capability, ModelCard, Provider, QueueStats
from providers.spec import ModelSpec
from providers.transcription.types import (
    Segment,
    TokenProbability,
    TranscriptionAccepted,
    TranscriptionEvent,
    TranscriptionFinished,
    TranscriptionProgress,
    TranscriptionRequest,
    Word,
)
from server.api.transcription.uploads import PREFIX
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.harness import Exchange, start

Script = Callable[[TranscriptionRequest], AsyncGenerator[TranscriptionEvent, None]]

FINISHED = TranscriptionFinished(duration=3.5, language="english", windows=1, encode_seconds=0.1, decode_seconds=0.2)


def segment(text: str, start: float, end: float, **fields: Any) -> Segment:
    given: dict[str, Any] = {
        "seek": 0.0,
        "tokens": [50363, 1],
        "temperature": 0.0,
        "avg_logprob": -0.2,
        "compression_ratio": 1.1,
        "no_speech_prob": 0.05,
        **fields,
    }
    return Segment(text=text, start=start, end=end, **given)


SAID = (
    segment(
        " Hello <you>,",
        0.0,
        1.25,
        words=[Word(" Hello", 0.0, 0.5, 0.9), Word(" <you>,", 0.5, 1.25, 0.9)],
        logprobs=[TokenProbability(" Hello", b" Hello", -0.1)],
    ),
    segment(" world. ", 1.25, 3.5, words=[Word(" world.", 1.5, 3.5, 0.9)], logprobs=[]),
)


async def hello(request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
    yield TranscriptionAccepted(3.5)
    for said in SAID:
        yield said
    yield TranscriptionProgress(3.5, 3.5)
    yield FINISHED


async def silence(request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
    yield TranscriptionAccepted(None)
    yield TranscriptionFinished(duration=2.0, language=None, windows=0, encode_seconds=0.0, decode_seconds=0.0)


@attrs.define(kw_only=True)
class FakeTranscriber:
    """Answers by its script; remembers its requests and the content of their files."""

    script: Script = hello
    name: str = "whisper"
    queue_stats: QueueStats = attrs.field(factory=QueueStats)
    full: bool = False
    requests: list[TranscriptionRequest] = attrs.field(factory=list)
    files: list[bytes] = attrs.field(factory=list)
    started: asyncio.Event = attrs.field(factory=asyncio.Event)

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(name=self.name, path="", model_type="whisper")

    @property
    def card(self) -> ModelCard:
        return ModelCard(id=self.name, created=1_700_000_000, capabilities=("transcription",), status="ready")

    async def start(self) -> None: ...

    async def wait_ready(self) -> None: ...

    async def stop(self) -> None: ...

    def refuse_full(self) -> NoReturn:
        raise QueueFull("as many as may")

    def begin_drain(self) -> None: ...

    async def transcribe(self, request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
        self.requests.append(request)
        self.files.append(Path(request.path).read_bytes())  # noqa: ASYNC240
        self.started.set()
        async for event in self.script(request):
            yield event


@attrs.define
class TranscriberRegistry:
    """Serves one transcriber to every name."""

    transcriber: FakeTranscriber

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def begin_drain(self) -> None: ...

    def providers(self) -> Sequence[Provider]:
        return [self.transcriber]

    def card(self, model_id: str) -> ModelCard:
        return self.transcriber.card

    def find(self, capability: Capability[Any], model_name: str) -> Any:
        if capability.name != "transcription":
            raise ModelNotFound(f"no model {capability.does}", param="model")
        return self.transcriber

    def available(self, capability: Capability[Any]) -> list[Any]:
        return [self.transcriber] if capability.name == "transcription" else []


def make_app(transcriber: FakeTranscriber, **settings: Any) -> Litestar:
    values: dict[str, Any] = {"models": (transcriber.spec,), "grace_period": 0.05, **settings}
    return create_app(Settings(**values), TranscriberRegistry(transcriber))


def begin(
    app: Litestar, data: dict[str, Any] | None = None, *, path: str = "transcriptions", file: Any = b"audio"
) -> Exchange:
    """Send a form and return immediately. Without `file`, the form has none."""
    files = {} if file is None else {"file": ("speech.wav", file)}
    given = httpx.Request(
        "POST", "http://test/", data={"model": "any", **(data or {})}, files=files or [("x", ("x", b""))]
    )
    return start(
        app,
        path=f"/v1/audio/{path}",
        content=given.read(),
        headers={"content-type": given.headers["content-type"]},
    )


async def ask(app: Litestar, data: dict[str, Any] | None = None, **options: Any) -> Exchange:
    """Send a form and wait for the end of its answer."""
    return await begin(app, data, **options).finished()


def left_behind() -> list[str]:
    """Uploads on disk."""
    return [name for name in os.listdir(tempfile.gettempdir()) if name.startswith(PREFIX)]
