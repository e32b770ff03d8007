"""A speech provider's requests through the queue, and the telemetry of its answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import otel
from otel import names
from providers.queued import QueuedProvider
from providers.speech.turns import requests_of
from providers.speech.types import SAMPLE_RATE, SpeechAccepted, SpeechEvent, SpeechFinished, SpeechPiece, SpeechRequest

__all__ = ["QueuedSpeechProvider", "SpeechRecord"]


class QueuedSpeechProvider(QueuedProvider[SpeechRequest, SpeechEvent]):
    """A `SpeechProvider` whose subclass makes the events and knows the voices."""

    def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        return self._answered(request, lambda: SpeechRecord(self._spec.name, request))


class SpeechRecord:
    """The span of one utterance, with one child span per piece."""

    def __init__(self, model: str, request: SpeechRequest) -> None:
        turns = requests_of(request)
        voices = dict.fromkeys(voice for turn in turns for voice, _ in turn.voices)
        attributes = {
            names.SPEECH_CHARACTERS: sum(len(turn.text) for turn in turns),
            names.SPEECH_SPEED: request.speed,
            names.SPEECH_VOICE: ",".join(voices) or None,
        }
        self._span = otel.start_task("speech", model=model, request_id=request.id, attributes=attributes)
        self._seconds = 0.0
        self._told: dict[str, Any] = {}
        self.fail = self._span.fail
        self.cancel = self._span.cancel

    def note(self, event: SpeechEvent) -> None:
        if isinstance(event, SpeechAccepted):
            self._span.accepted()
        elif isinstance(event, SpeechPiece):
            self._span.first()
            length = len(event.audio) / 2 / SAMPLE_RATE
            self._span.child(
                "sentence",
                self._seconds,
                event.seconds,
                {
                    names.SPEECH_CHARACTERS: len(event.text),
                    names.SPEECH_DURATION: length,
                    names.SPEECH_REAL_TIME_FACTOR: event.seconds / length if length else None,
                },
            )
            self._seconds += event.seconds
        elif isinstance(event, SpeechFinished):
            self._told = {names.SPEECH_DURATION: event.samples / SAMPLE_RATE}
            self._span.audio(event.samples / SAMPLE_RATE, event.seconds)

    def stop(self) -> None:
        self._span.stop(self._told)
