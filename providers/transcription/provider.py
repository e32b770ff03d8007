"""The transcription provider that answers from an engine process."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import otel
from otel import names
from providers.engine_host.provider import EngineProvider
from providers.transcription.types import (
    Segment,
    TranscriptionAccepted,
    TranscriptionEvent,
    TranscriptionFinished,
    TranscriptionRequest,
)

__all__ = ["EngineTranscriptionProvider"]


class EngineTranscriptionProvider(EngineProvider[TranscriptionRequest, TranscriptionEvent]):
    """A `TranscriptionProvider` whose model lives in a process of its own."""

    def transcribe(self, request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
        return self._answered(request, lambda: _TranscriptionRecord(self._spec.name, request))


class _TranscriptionRecord:
    """The span of one transcription: seconds of audio, tokens of text, and the time spent encoding and decoding."""

    def __init__(self, model: str, request: TranscriptionRequest) -> None:
        self._span = otel.start_task(
            "transcription",
            model=model,
            request_id=request.id,
            attributes={names.GEN_AI_REQUEST_TEMPERATURE: request.temperature, names.TRANSCRIPTION_TASK: request.task},
        )
        self._model = model
        self._tokens = 0
        self._finished: TranscriptionFinished | None = None
        self.fail = self._span.fail
        self.cancel = self._span.cancel

    def note(self, event: TranscriptionEvent) -> None:
        if isinstance(event, TranscriptionAccepted):
            self._span.accepted()
        elif isinstance(event, Segment):
            self._span.first()
            self._tokens += len(event.tokens)
        elif isinstance(event, TranscriptionFinished):
            self._finished = event

    def stop(self) -> None:
        end = self._finished
        assert end is not None
        # Windows are encoded and decoded in turn; each kind of work is shown as one span of its total time.
        self._span.child("encode", 0.0, end.encode_seconds, {names.TRANSCRIPTION_WINDOWS: end.windows})
        self._span.child(
            "decode", end.encode_seconds, end.decode_seconds, {names.GEN_AI_USAGE_OUTPUT_TOKENS: self._tokens}
        )
        self._span.audio(end.duration, end.encode_seconds + end.decode_seconds)
        self._span.stop(
            {
                names.GEN_AI_RESPONSE_MODEL: self._model,
                names.GEN_AI_USAGE_OUTPUT_TOKENS: self._tokens,
                names.AUDIO_SECONDS: end.duration,
                names.TRANSCRIPTION_LANGUAGE: end.language,
            }
        )
