"""What can answer: one narrow Protocol a capability, and what every provider shares."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, Protocol, runtime_checkable

import attrs

from providers.chat.types import GenerationEvent, GenerationRequest, Prompt
from providers.embeddings.types import EmbeddingEvent, EmbeddingRequest, RerankRequest
from providers.spec import Capability, ModelSpec
from providers.speech.types import SpeechEvent, SpeechRequest, VoiceInfo
from providers.transcription.types import TranscriptionEvent, TranscriptionRequest

__all__ = [
    "ChatProvider",
    "EmbeddingProvider",
    "ModelCard",
    "ModelStatus",
    "Provider",
    "QueueStats",
    "SpeechProvider",
    "TranscriptionProvider",
]

ModelStatus = Literal["unloaded", "loading", "ready", "restarting", "failed", "stopped"]


@attrs.frozen(kw_only=True)
class ModelCard:
    """What a client may know of a model."""

    id: str
    created: int
    """Unix seconds at which this server began to serve it."""
    capabilities: tuple[Capability, ...]
    status: ModelStatus
    context_length: int | None = None
    """Tokens; None until the engine has told its model's own limit, or where the word has no meaning."""
    detail: str | None = None
    """Why a `failed` model failed; what a `loading` one is doing."""


@attrs.frozen(kw_only=True)
class QueueStats:
    """Counters since start, and times in seconds over the most recent requests."""

    active: int = 0
    pending: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    rejected: int = 0
    wait_seconds_mean: float = 0.0
    wait_seconds_max: float = 0.0
    service_seconds_mean: float = 0.0
    service_seconds_max: float = 0.0


@runtime_checkable
class Provider(Protocol):
    """One served model, from start to stop."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def card(self) -> ModelCard: ...

    @property
    def queue_stats(self) -> QueueStats: ...

    async def start(self) -> None:
        """Begin loading, unless `spec.lazy`, and return at once; `card.status` and `wait_ready` tell how it goes."""

    async def wait_ready(self) -> None:
        """Return when the model can answer, or will be loaded by the first request; raise `ModelNotReady` when it never
        will."""

    def begin_drain(self) -> None:
        """Admit no more requests: those that wait or come fail with `ModelNotReady`. Idempotent."""

    async def stop(self) -> None:
        """Release the model. Requests still in it fail with `ModelNotReady`. Idempotent."""


@runtime_checkable
class ChatProvider(Provider, Protocol):
    """Generates text."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """Queue, then generate: `Accepted`, then deltas, then `Finished`.

        Closing or cancelling the generator at any point frees its place within one decode step; consume it
        under `contextlib.aclosing`. A generator that ends without `Finished` has raised.

        Raises:
            QueueFull, QueueTimeout, ModelNotReady: before it was admitted.
            InvalidRequest, ContextLengthExceeded, UnsupportedParameter: instead of `Accepted`.
            GenerationTimeout, EngineCrashed, InternalError: at any point.
        """
        ...

    async def tokenize(self, prompt: Prompt, *, add_special_tokens: bool | None = None) -> list[int]:
        """The prompt's token ids, chat template applied; takes no place in the queue.

        `add_special_tokens` None: as `generate` would.

        Raises:
            ModelNotReady, EngineCrashed: the model cannot say.
            InvalidRequest: the prompt cannot be rendered or tokenised.
        """
        ...

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of these token ids, special tokens included.

        Raises:
            ModelNotReady, EngineCrashed: the model cannot say.
            InvalidRequest: an id is not in the vocabulary.
        """
        ...

    async def token_strings(self, tokens: Sequence[int]) -> list[str]:
        """Each token as the vocabulary writes it. Raises as `detokenize`."""
        ...


@runtime_checkable
class EmbeddingProvider(Provider, Protocol):
    """Turns texts into vectors, and ranks documents.

    Closing or cancelling a generator takes its request out of the engine within one batch; consume it under
    `contextlib.aclosing`. A generator that ends without its last event has raised.
    """

    def embed(self, request: EmbeddingRequest) -> AsyncGenerator[EmbeddingEvent, None]:
        """Queue, then embed: `Vectors` in any order, together all inputs, then `Embedded`.

        Raises:
            QueueFull, QueueTimeout, ModelNotReady: before it was admitted.
            InvalidRequest, ContextLengthExceeded, UnsupportedParameter: instead of the first event.
            GenerationTimeout, EngineCrashed, InternalError: at any point.
        """
        ...

    def rerank(self, request: RerankRequest) -> AsyncGenerator[EmbeddingEvent, None]:
        """Queue, then score: one `Ranked`. Raises as `embed`."""
        ...


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


@runtime_checkable
class TranscriptionProvider(Provider, Protocol):
    """Writes down what is spoken."""

    def transcribe(self, request: TranscriptionRequest) -> AsyncGenerator[TranscriptionEvent, None]:
        """Queue, then listen: `TranscriptionAccepted`, then segments and progress, then `TranscriptionFinished`.

        Closing or cancelling the generator at any point frees its place within one window; consume it under
        `contextlib.aclosing`. The file must stay until it has ended.

        Raises:
            QueueFull, QueueTimeout, ModelNotReady: before it was admitted.
            InvalidRequest, UnsupportedParameter: instead of `TranscriptionAccepted`.
            GenerationTimeout, EngineCrashed, InternalError: at any point.
        """
        ...
