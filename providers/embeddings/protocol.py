"""The Protocol of models that embed texts and rank documents."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol, runtime_checkable

from providers.embeddings.types import EmbeddingEvent, EmbeddingRequest, RerankRequest, TokenPlaces
from providers.protocols import Capability, Provider

__all__ = ["EMBEDDINGS", "EmbeddingProvider"]


@runtime_checkable
class EmbeddingProvider(Provider, Protocol):
    """Turns texts into vectors, and ranks documents.

    Closing or cancelling a generator takes its request out of the engine within one batch; consume it under
    `contextlib.aclosing`. A generator that ends without its last event has raised.
    """

    def embed(self, request: EmbeddingRequest) -> AsyncGenerator[EmbeddingEvent, None]:
        """Queue, then embed: `Vectors` in any order, which together cover all inputs, then `Embedded`.

        Raises:
            QueueFull, QueueTimeout, ModelNotReady: before admission.
            InvalidRequest, ContextLengthExceeded, UnsupportedParameter: instead of the first event.
            GenerationTimeout, EngineCrashed, InternalError: at any point.
        """
        ...

    def rerank(self, request: RerankRequest) -> AsyncGenerator[EmbeddingEvent, None]:
        """Queue, then score: one `Ranked`. Raises as `embed`."""
        ...

    async def locate(self, text: str) -> TokenPlaces:
        """Find the tokens of a text, which may be longer than the context, without queueing.

        Raises:
            ModelNotReady, EngineCrashed, InvalidRequest: of the engine.
        """
        ...


EMBEDDINGS: Capability[EmbeddingProvider] = Capability("embeddings", "embeds")
