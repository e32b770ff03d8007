"""What handlers are given."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

import attrs
from litestar.di import NamedDependency
from litestar.params import JSONBody, MultipartBody, SkipValidation
from litestar.types import Receive

from contracts.service.diagnostics import RecentError
from providers.chat.protocol import CHAT, ChatProvider
from providers.embeddings.protocol import EMBEDDINGS, EmbeddingProvider
from providers.events import Event
from providers.protocols import Capability, ModelCard, Provider
from providers.speech.protocol import SPEECH, SpeechProvider
from providers.transcription.protocol import TRANSCRIPTION, TranscriptionProvider
from server.api.responses.store import ResponseStore
from server.disconnect import answering
from server.drain import Drain
from server.streaming.response import StreamResponse
from server.streaming.sse import Ending, EventEncoder, EventSource, EventStream

__all__ = [
    "Chat",
    "Embedder",
    "Registry",
    "Service",
    "ServiceDependency",
    "Speech",
    "Transcriber",
    "provide_chat",
    "provide_embeddings",
    "provide_speech",
    "provide_transcription",
]

KEPT_ERRORS = 50

E = TypeVar("E", bound=Event)
P = TypeVar("P", bound=Provider)


class NamesModel(Protocol):
    """A request for one model; None will do where there is only one."""

    @property
    def model(self) -> str | None: ...


class Registry(Protocol):
    """What the server asks of `providers.registry.ModelRegistry`."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def begin_drain(self) -> None: ...

    def find(self, capability: Capability[P], model_name: str) -> P: ...

    def available(self, capability: Capability[P]) -> Sequence[P]: ...

    def card(self, model_id: str) -> ModelCard: ...

    def providers(self) -> Sequence[Provider]: ...


@attrs.frozen(kw_only=True)
class Service:
    """What all requests share."""

    registry: Registry
    drain: Drain
    heartbeat_interval: float
    responses: ResponseStore
    version: str
    errors: deque[RecentError] = attrs.field(factory=lambda: deque(maxlen=KEPT_ERRORS))
    """The last requests that failed here, oldest first."""

    def answering(self, receive: Receive) -> AbstractAsyncContextManager[None]:
        """While the client is connected and the server lives. Raises as `server.disconnect.answering`."""
        return answering(receive, self.drain)

    def streamed(
        self, source: EventSource[E], encoder: EventEncoder[E], *, answers: int = 1, ending: Ending | None = None
    ) -> StreamResponse:
        """Server-sent events; the arguments are those of `EventStream`."""
        return StreamResponse(
            EventStream(
                source,
                encoder,
                heartbeat_interval=self.heartbeat_interval,
                drain=self.drain,
                answers=answers,
                ending=ending,
            )
        )


ServiceDependency = NamedDependency[SkipValidation[Service]]
Chat = NamedDependency[SkipValidation[ChatProvider]]
Embedder = NamedDependency[SkipValidation[EmbeddingProvider]]
Speech = NamedDependency[SkipValidation[SpeechProvider]]
Transcriber = NamedDependency[SkipValidation[TranscriptionProvider]]


def provide_chat(data: JSONBody[Any], service: ServiceDependency) -> ChatProvider:
    """The provider that answers for `data.model`.

    Raises:
        ModelNotFound: there is none, or several and none of that name.
        ExtraNotInstalled: the model needs an extra that is not installed.
    """
    return service.registry.find(CHAT, _model_name(data))


def provide_embeddings(data: JSONBody[Any], service: ServiceDependency) -> EmbeddingProvider:
    """The provider that embeds and ranks for `data.model`. Raises as `provide_chat`."""
    return service.registry.find(EMBEDDINGS, _model_name(data))


def provide_speech(data: JSONBody[Any], service: ServiceDependency) -> SpeechProvider:
    """The provider that speaks for `data.model`. Raises as `provide_chat`."""
    return service.registry.find(SPEECH, _model_name(data))


def provide_transcription(data: MultipartBody[Any], service: ServiceDependency) -> TranscriptionProvider:
    """The provider that transcribes for `data.model`. Raises as `provide_chat`."""
    return service.registry.find(TRANSCRIPTION, _model_name(data))


def _model_name(data: NamesModel) -> str:
    return data.model or ""
