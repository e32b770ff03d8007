"""What handlers are given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol

import attrs
import msgspec
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from contracts.chat import ChatCompletionRequest
from providers.generation import GenerationEvent, GenerationRequest
from providers.protocols import ChatProvider, ModelCard, Provider
from server.drain import Drain

__all__ = ["Chat", "Events", "Generations", "Registry", "Service", "ServiceDependency", "provide_chat"]

Events = AsyncIterator[GenerationEvent]


class Registry(Protocol):
    """What the server asks of `providers.registry.ModelRegistry`."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def begin_drain(self) -> None: ...

    def chat(self, model_name: str) -> ChatProvider: ...

    def card(self, model_id: str) -> ModelCard: ...

    def providers(self) -> Sequence[Provider]: ...


class Generations:
    """Names the generations in progress: the request's ID, made unique where a client uses one ID twice at once.

    Engines tell answers apart by these names, so a reused ID must never put two clients on one answer.
    """

    def __init__(self) -> None:
        self._names: set[str] = set()

    @asynccontextmanager
    async def run(self, chat: ChatProvider, request: GenerationRequest) -> AsyncIterator[Events]:
        """The events of one generation; leaving the block closes it. `request.id` may be changed on the way."""
        name, count = request.id, 1
        while name in self._names:
            count += 1
            name = f"{request.id}#{count}"
        self._names.add(name)
        try:
            async with aclosing(chat.generate(msgspec.structs.replace(request, id=name))) as events:
                yield events
        finally:
            self._names.discard(name)


@attrs.frozen(kw_only=True)
class Service:
    """What all requests share."""

    registry: Registry
    drain: Drain
    generations: Generations = attrs.field(factory=Generations)
    heartbeat_interval: float
    version: str


ServiceDependency = NamedDependency[SkipValidation[Service]]
Chat = NamedDependency[SkipValidation[ChatProvider]]


def provide_chat(data: JSONBody[Any], service: ServiceDependency) -> ChatProvider:
    """The provider that answers for `data.model`.

    Raises:
        ModelNotFound: there is none, or several and none of that name.
    """
    request: ChatCompletionRequest = data
    return service.registry.chat(request.model)
