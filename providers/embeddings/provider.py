"""The embedding provider that answers from an engine process."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import otel
from otel import names
from providers.embeddings.types import Embedded, EmbeddingEvent, EmbeddingRequest, Ranked, RerankRequest, TokenPlaces
from providers.engine_host.frames import Locate, Located
from providers.engine_host.provider import EngineProvider

__all__ = ["EngineEmbeddingProvider"]


class EngineEmbeddingProvider(EngineProvider[EmbeddingRequest | RerankRequest, EmbeddingEvent]):
    """An `EmbeddingProvider` whose model lives in a process of its own."""

    def embed(self, request: EmbeddingRequest) -> AsyncGenerator[EmbeddingEvent, None]:
        return self._answered(request, lambda: _Record("embeddings", self._spec.name, request))

    def rerank(self, request: RerankRequest) -> AsyncGenerator[EmbeddingEvent, None]:
        return self._answered(request, lambda: _Record("rerank", self._spec.name, request))

    async def locate(self, text: str) -> TokenPlaces:
        answer = await self._ask(Locate("", text))
        assert isinstance(answer, Located)
        return TokenPlaces(answer.starts, answer.room)


class _Record:
    """The span of one answer, with the engine's work as its child span."""

    def __init__(self, operation: str, model: str, request: EmbeddingRequest | RerankRequest) -> None:
        inputs = request.inputs if isinstance(request, EmbeddingRequest) else request.documents
        self._span = otel.start_task(
            operation, model=model, request_id=request.id, attributes={names.EMBEDDING_INPUTS: len(inputs)}
        )
        self._attributes: dict[str, Any] = {names.GEN_AI_RESPONSE_MODEL: model}
        self.fail = self._span.fail
        self.cancel = self._span.cancel

    def note(self, event: EmbeddingEvent) -> None:
        if isinstance(event, Embedded | Ranked):
            self._span.child("encode", 0.0, event.seconds, {names.GEN_AI_USAGE_INPUT_TOKENS: event.tokens})
            self._attributes[names.GEN_AI_USAGE_INPUT_TOKENS] = event.tokens
            if isinstance(event, Embedded):
                self._attributes[names.GEN_AI_EMBEDDINGS_DIMENSION_COUNT] = event.dimensions

    def stop(self) -> None:
        self._span.stop(self._attributes)
