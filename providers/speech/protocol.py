"""What a model that speaks can do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

from providers.protocols import Capability, Provider
from providers.speech.types import SpeechEvent, SpeechRequest, VoiceInfo

__all__ = ["SPEECH", "SpeechProvider"]


@runtime_checkable
class SpeechProvider(Provider, Protocol):
    """Speaks texts."""

    def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """Queue, then speak: `SpeechAccepted`, then pieces as they are made, then `SpeechFinished`.

        `request.voices` may be OpenAI's names, and none is the default voice. Closing or cancelling the generator
        frees its place before the next piece is begun; consume it under `contextlib.aclosing`.

        Raises:
            QueueFull, QueueTimeout, ModelNotReady: before it was admitted.
            InvalidRequest: instead of `SpeechAccepted`; an unknown voice is told which there are.
            GenerationTimeout, EngineCrashed, InternalError: at any point.
        """
        ...

    async def voices(self) -> Sequence[VoiceInfo]:
        """Every voice of the model, which is loaded for it if need be; takes no place in the queue.

        Raises:
            ModelNotReady: the model cannot say.
        """
        ...


SPEECH: Capability[SpeechProvider] = Capability("speech", "speaks")
