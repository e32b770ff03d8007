"""The Protocol of models that transcribe."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol, runtime_checkable

from providers.protocols import Capability, Provider
from providers.transcription.types import TranscriptionEvent, TranscriptionRequest

__all__ = ["TRANSCRIPTION", "TranscriptionProvider"]


@runtime_checkable
class TranscriptionProvider(Provider, Protocol):
    """Transcribes speech."""

    def transcribe(self, request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
        """Queue, then transcribe: `TranscriptionAccepted`, then segments and progress, then `TranscriptionFinished`.

        Closing or cancelling the generator at any point frees its place within one window; consume it under
        `contextlib.aclosing`. The file must stay until it has ended.

        Raises:
            QueueFull, QueueTimeout, ModelNotReady: before admission.
            InvalidRequest, UnsupportedParameter: instead of `TranscriptionAccepted`.
            GenerationTimeout, EngineCrashed, InternalError: at any point.
        """
        ...


TRANSCRIPTION: Capability[TranscriptionProvider] = Capability("transcription", "transcribes")
