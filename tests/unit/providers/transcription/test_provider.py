"""A transcription goes through the queue, and its span tells how much was heard."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest
from opentelemetry.trace import StatusCode

from otel import names
from otel.testing import capture_spans
from providers.errors import InvalidRequest, ServiceError
from providers.protocols import ModelStatus
from providers.spec import ModelSpec
from providers.transcription.provider import EngineTranscriptionProvider
from providers.transcription.types import (
    Segment,
    TranscriptionAccepted,
    TranscriptionEvent,
    TranscriptionFinished,
    TranscriptionRequest,
)

Script = Callable[[TranscriptionRequest], AsyncGenerator[TranscriptionEvent, None]]
SEGMENT = Segment(
    text=" Hello.",
    start=0.0,
    end=1.0,
    seek=0.0,
    tokens=[1, 2, 3],
    temperature=0.0,
    avg_logprob=-0.1,
    compression_ratio=1.0,
    no_speech_prob=0.0,
)
REQUEST = TranscriptionRequest(id="req-1", path="/tmp/a", temperature=0.2)


class Scripted(EngineTranscriptionProvider):
    """Ready, and answering by its script."""

    def __init__(self, script: Script) -> None:
        super().__init__(ModelSpec(name="tiny", path="", model_type="whisper", max_concurrency=1))
        self._events = script  # type: ignore[method-assign]

    @property
    def _status(self) -> ModelStatus:
        return "ready"

    def _refusal(self) -> ServiceError | None:
        return None


async def said(request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
    yield TranscriptionAccepted(3.0)
    yield SEGMENT
    yield TranscriptionFinished(duration=3.0, language="english", windows=1, encode_seconds=0.0, decode_seconds=0.0)


async def refuse(request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
    raise InvalidRequest("file: this cannot be read as audio", param="file")
    yield


async def test_its_span_has_the_duration_and_the_parts_of_the_time() -> None:
    provider = Scripted(said)
    with capture_spans() as spans:
        async with aclosing(provider.transcribe(REQUEST)) as events:
            told = [event async for event in events]

    assert isinstance(told[-1], TranscriptionFinished)
    span = spans.one("transcription tiny")
    attributes = dict(span.attributes or {})
    assert attributes[names.AUDIO_SECONDS] == 3.0
    assert attributes[names.TRANSCRIPTION_LANGUAGE] == "english"
    assert attributes[names.GEN_AI_USAGE_OUTPUT_TOKENS] == 3
    assert attributes[names.REQUEST_ID] == "req-1"
    for name in ("encode", "decode"):
        child = spans.one(name)
        assert child.parent is not None
        assert span.context is not None
        assert child.parent.span_id == span.context.span_id
    assert {"queue", "transcription tiny"} <= {*spans.names()}
    assert (provider.queue_stats.completed, provider.queue_stats.active) == (1, 0)


async def test_a_refusal_ends_the_span_by_its_code() -> None:
    provider = Scripted(refuse)
    with capture_spans() as spans:
        async with aclosing(provider.transcribe(REQUEST)) as events:
            with pytest.raises(InvalidRequest):
                await anext(events)

    span = spans.one("transcription tiny")
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})[names.ERROR_TYPE] == "invalid_request_error"
    assert provider.queue_stats.failed == 1
