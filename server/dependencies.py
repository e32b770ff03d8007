"""Dependencies that Litestar injects into handlers."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

import attrs
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody, MultipartBody, SkipValidation
from litestar.types import Receive

from contracts.chat.request import AudioInput
from contracts.service.diagnostics import RecentError
from providers.bounded_cache import BoundedCache
from providers.chat.protocol import ChatProvider
from providers.embeddings.types import Truncation
from providers.events import Event
from providers.protocols import Capability, ModelCard, Provider
from providers.weights.pulls import Pulls
from server.api.responses.stored.store import ResponseStore
from server.api.spoken.said import SaidAnswers
from server.disconnect import answering
from server.drain import Drain
from server.media.decoded import DecodedPictures
from server.media.reader import MediaReader
from server.retrieval.retrieval import Retrieval
from server.streaming.response import StreamResponse
from server.streaming.sse import Ending, EventEncoder, EventSource, EventStream

__all__ = [
    "Chat",
    "Registry",
    "RetrievalDependency",
    "Service",
    "ServiceDependency",
    "provide",
    "provide_from_form",
]

KEPT_ERRORS = 50
_TRANSCRIPT_BYTES = 4 << 20

E = TypeVar("E", bound=Event)
P = TypeVar("P", bound=Provider)


class NamesModel(Protocol):
    """A request for one model. None stands for the only model of a capability."""

    @property
    def model(self) -> str | None: ...


class Registry(Protocol):
    """The part of `providers.registry.ModelRegistry` that the server uses."""

    @property
    def memory_limit(self) -> int | None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def begin_drain(self) -> None: ...

    def find(self, capability: Capability[P], model_name: str) -> P: ...

    def available(self, capability: Capability[P]) -> Sequence[P]: ...

    def card(self, model_id: str) -> ModelCard: ...

    def provider(self, model_id: str) -> Provider: ...

    def providers(self) -> Sequence[Provider]: ...


@attrs.frozen(kw_only=True)
class Service:
    """Everything that requests share."""

    registry: Registry
    drain: Drain
    heartbeat_interval: float
    responses: ResponseStore
    version: str
    media: MediaReader
    retrieval: Retrieval
    """Also a dependency of its own. Litestar starts tasks for two dependencies of a handler, and none for a single one:
    handlers that have another one read it here."""
    pictures: DecodedPictures = attrs.field(factory=DecodedPictures)
    """Those of all requests."""
    max_picture_side: int = 2048
    """Pixels of the longest side of a picture that a model reads."""
    pulls: Pulls = attrs.field(factory=Pulls)
    """Weights that are being fetched."""
    said: SaidAnswers = attrs.field(factory=SaidAnswers)
    """The answers that were spoken."""
    audio_input: AudioInput = "refuse"
    """What happens to recordings in chats that do not say it."""
    transcripts: BoundedCache[str, str] = attrs.field(factory=lambda: BoundedCache(_TRANSCRIPT_BYTES))
    """Of recordings in chats."""
    embeddings_truncate: Truncation = "none"
    max_speech_characters: int | None = None
    max_audio_seconds: int = 0
    """Of a recording to transcribe; 0 for no limit."""
    errors: deque[RecentError] = attrs.field(factory=lambda: deque(maxlen=KEPT_ERRORS))
    """The most recent failed requests, oldest first."""

    def answering(self, receive: Receive) -> AbstractAsyncContextManager[None]:
        """Context while the client is connected and the server runs. Raises as `server.disconnect.answering`."""
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
RetrievalDependency = NamedDependency[SkipValidation[Retrieval]]
Chat = NamedDependency[SkipValidation[ChatProvider]]


def provide(capability: Capability[P]) -> Provide:
    """The provider of this capability that `model` in the JSON body names.

    A request is refused with `ModelNotFound` or `ExtraNotInstalled` as by `ModelRegistry.find`.
    """

    def provider(data: JSONBody[Any], service: ServiceDependency) -> P:
        return service.registry.find(capability, _model_name(data))

    return Provide(provider, sync_to_thread=False)


def provide_from_form(capability: Capability[P]) -> Provide:
    """As `provide`, of a form."""

    def provider(data: MultipartBody[Any], service: ServiceDependency) -> P:
        return service.registry.find(capability, _model_name(data))

    return Provide(provider, sync_to_thread=False)


def _model_name(data: NamesModel) -> str:
    return data.model or ""
