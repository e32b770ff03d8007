"""`/v1/embeddings` and `/v1/rerank`."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from litestar import Controller, MediaType, Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

import otel
from contracts.embeddings import CreateEmbeddingResponse, EmbeddingRequest
from contracts.rerank import RerankRequest, RerankResponse
from providers.embeddings.protocol import EMBEDDINGS, EmbeddingProvider
from providers.embeddings.types import Ranked
from providers.errors import InternalError
from server.api.embeddings.request import to_embedding_request, to_rerank_request
from server.api.embeddings.response import embedding_response, rerank_response
from server.api.error_responses import ANSWERING, errors
from server.dependencies import ServiceDependency, provide
from server.guards import QUEUE, json_body
from server.large_bodies import translated

__all__ = ["EmbeddingsController"]

Embedder = NamedDependency[SkipValidation[EmbeddingProvider]]


class EmbeddingsController(Controller):
    path = "/v1"
    tags = ("Embeddings",)
    dependencies = {"embedder": provide(EMBEDDINGS)}  # noqa: RUF012

    @post(
        "/embeddings",
        before_request=json_body,
        opt={QUEUE: EMBEDDINGS},
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createEmbedding",
        name="embeddings.create",
        summary="Compute the embeddings of texts",
        responses=errors(*ANSWERING),
    )
    async def embed(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[EmbeddingRequest],
        embedder: Embedder,
        service: ServiceDependency,
    ) -> Response[CreateEmbeddingResponse]:
        request_id = otel.request_id.get() or ""
        asked = await translated(
            request, to_embedding_request, data, id=request_id, truncate=service.embeddings_truncate
        )
        async with service.answering(request.receive), aclosing(embedder.embed(asked)) as events:
            body = await embedding_response(
                events,
                asked,
                model=embedder.spec.name,
                request_id=request_id,
                as_base64=data.encoding_format == "base64",
            )
        content: Any = body  # already JSON; the contract describes it
        return Response(content, media_type=MediaType.JSON)

    @post(
        "/rerank",
        before_request=json_body,
        opt={QUEUE: EMBEDDINGS},
        status_code=200,
        operation_id="createRerank",
        name="rerank.create",
        summary="Order documents by their relevance to a query",
        responses=errors(*ANSWERING),
    )
    async def rerank(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[RerankRequest],
        embedder: Embedder,
        service: ServiceDependency,
    ) -> RerankResponse:
        request_id = otel.request_id.get() or ""
        asked = await translated(request, to_rerank_request, data, id=request_id, truncate=service.embeddings_truncate)
        ranked: Ranked | None = None
        async with service.answering(request.receive), aclosing(embedder.rerank(asked)) as events:
            async for event in events:
                ranked = event if isinstance(event, Ranked) else ranked
        if ranked is None:
            raise InternalError.truncated("answer")
        return rerank_response(ranked, data, model=embedder.spec.name, request_id=request_id)
