"""The Protocol of models that speak."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, runtime_checkable

from providers.protocols import Capability, Provider
from providers.speech.types import SpeechEvent, SpeechRequest, VoiceInfo

__all__ = ["SPEECH", "SpeechProvider"]


@runtime_checkable
class SpeechProvider(Provider, Protocol):
    """Synthesizes speech."""

    def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """Queue, then speak: `SpeechAccepted`, then pieces as they are made, then `SpeechFinished`.

        `request.voices` may be OpenAI's names; without a voice the default one speaks. Closing or cancelling the
        generator frees its place before the next piece begins; consume it under `contextlib.aclosing`.

        Raises:
            QueueFull, QueueTimeout, ModelNotReady: before it was admitted.
            InvalidRequest: instead of `SpeechAccepted`; for an unknown voice the message lists the known ones.
            GenerationTimeout, EngineCrashed, InternalError: at any point.
        """
        ...

    async def voices(self) -> Sequence[VoiceInfo]:
        """Every voice of the model, which is loaded first if necessary; takes no place in the queue.

        Raises:
            ModelNotReady: the model cannot be loaded.
        """
        ...


SPEECH: Capability[SpeechProvider] = Capability("speech", "speaks")
