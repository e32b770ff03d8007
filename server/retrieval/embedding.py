"""The vectors of texts, from the server's own embedding models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Protocol, TypeVar

from providers.embeddings.protocol import EMBEDDINGS, EmbeddingProvider
from providers.embeddings.types import Embedded, EmbeddingRequest, Vectors
from providers.errors import InternalError, InvalidRequest, NotFound
from providers.protocols import Capability, Provider
from server.retrieval.chunking import sections

__all__ = ["EmbeddingModels", "embed", "locate"]

P = TypeVar("P", bound=Provider)

POLITE_SECONDS = 5.0
"""The longest time that indexing lets requests of clients go first, for each of its own."""


class EmbeddingModels(Protocol):
    """The part of the registry that retrieval uses."""

    def find(self, capability: Capability[P], model_name: str) -> P: ...

    def available(self, capability: Capability[P]) -> Sequence[P]: ...


def default_model(models: EmbeddingModels) -> str:
    """The name of the model for new stores: the first one.

    Raises:
        InvalidRequest: there is none.
        ExtraNotInstalled: it needs an extra that is not installed.
    """
    able = models.available(EMBEDDINGS)
    if able:
        return able[0].spec.name
    try:
        return models.find(EMBEDDINGS, "").spec.name
    except NotFound:
        raise InvalidRequest(
            "this server has no embedding model, which vector stores need; add one with `model_type: embeddings`"
        ) from None


def model_of(models: EmbeddingModels, name: str) -> EmbeddingProvider:
    """The model that a store's texts were embedded with.

    Raises:
        InvalidRequest: this server does not have it. Vectors of different models cannot be compared.
    """
    for provider in models.available(EMBEDDINGS):
        if provider.spec.name == name:
            return provider
    raise InvalidRequest(
        f"the vector store was made with the embedding model {name!r}, which this server does not have"
    )


async def embed(provider: EmbeddingProvider, texts: Sequence[str], *, id: str) -> list[bytes]:
    """The vectors of texts as little-endian float32. What is over the model's context is cut.

    Raises: as `EmbeddingProvider.embed`.
    """
    vectors: list[bytes] = [b""] * len(texts)
    complete = False
    async with aclosing(provider.embed(EmbeddingRequest(id, [*texts], truncate="end"))) as events:
        async for event in events:
            if isinstance(event, Vectors):
                size = len(event.data) // len(event.indexes)
                for row, index in enumerate(event.indexes):
                    vectors[index] = event.data[row * size : (row + 1) * size]
            complete = complete or isinstance(event, Embedded)
    if not complete:
        raise InternalError.truncated("answer")
    return vectors


async def locate(provider: EmbeddingProvider, text: str) -> tuple[list[int], int]:
    """The places of the tokens of a text, and the tokens that an input of the model may have.

    Raises: as `EmbeddingProvider.locate`.
    """
    starts: list[int] = []
    room = 0
    for start, stop in sections(text):
        await let_clients_first(provider)
        found = await provider.locate(text[start:stop])
        starts += [start + place for place in found.starts]
        room = found.room
    return starts, room


async def let_clients_first(provider: EmbeddingProvider) -> None:
    """Wait while requests of clients wait, but not for long."""
    waited = 0.0
    while provider.queue_stats.pending and waited < POLITE_SECONDS:
        await asyncio.sleep(0.05)
        waited += 0.05
