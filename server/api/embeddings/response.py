"""Embeddings and rankings, from the domain to the wire. Vectors stay bytes until they become JSON."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator

import attrs
import msgspec

from contracts.rerank import RerankedText, RerankRequest, RerankResponse, RerankResult, RerankUsage
from providers.embeddings.types import Embedded, EmbeddingEvent, EmbeddingRequest, Ranked, Vectors
from providers.errors import InternalError
from server.api.embeddings.request import document_text
from server.serialization import encode_json

__all__ = ["embedding_response", "rerank_response"]

_FLOAT_BYTES = 4
_SLICE = 64
"""Vectors encoded in one turn of the event loop: one or two milliseconds of work."""


@attrs.define
class _Collected:
    parts: list[Vectors] = attrs.field(factory=list)
    end: Embedded | None = None


async def embedding_response(
    events: AsyncIterator[EmbeddingEvent], request: EmbeddingRequest, *, model: str, request_id: str, as_base64: bool
) -> bytes:
    """Read the answer to its end, and return `CreateEmbeddingResponse` as JSON.

    A list of vectors takes megabytes. It is encoded slice by slice, so that other requests run in between, and is never
    one list of numbers.
    """
    collected = _Collected()
    async for event in events:
        if isinstance(event, Vectors):
            collected.parts.append(event)
        elif isinstance(event, Embedded):
            collected.end = event
    if collected.end is None:
        raise InternalError.truncated("answer")
    size = collected.end.dimensions * _FLOAT_BYTES
    vectors = [b""] * len(request.inputs)
    for part in collected.parts:
        for place, index in enumerate(part.indexes):
            vectors[index] = part.data[place * size : (place + 1) * size]
    data: list[msgspec.Raw] = []
    for start in range(0, len(vectors), _SLICE):
        if start:
            await asyncio.sleep(0)
        data += [
            _embedding(start + offset, vector, as_base64=as_base64)
            for offset, vector in enumerate(vectors[start : start + _SLICE])
        ]
    tokens = collected.end.tokens
    return encode_json(
        {
            "object": "list",
            "data": data,
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "request_id": request_id,
        }
    )


def _embedding(index: int, vector: bytes, *, as_base64: bool) -> msgspec.Raw:
    value: object = base64.b64encode(vector).decode() if as_base64 else _floats(vector)
    return msgspec.Raw(encode_json({"object": "embedding", "index": index, "embedding": value}))


def _floats(data: bytes) -> tuple[float, ...]:
    """Numbers from float32. Without NumPy, whose import would take a tenth of the server's start."""
    return struct.unpack(f"<{len(data) // _FLOAT_BYTES}f", data)


def rerank_response(ranked: Ranked, request: RerankRequest, *, model: str, request_id: str) -> RerankResponse:
    """The documents by descending relevance."""
    scores = _floats(ranked.scores)
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[: request.top_n]
    return RerankResponse(
        id=request_id,
        model=model,
        method="cross-encoder" if ranked.cross_encoder else "bi-encoder",
        results=[
            RerankResult(
                index=index,
                relevance_score=scores[index],
                document=RerankedText(text=document_text(request.documents[index]))
                if request.return_documents
                else None,
            )
            for index in order
        ],
        usage=RerankUsage(prompt_tokens=ranked.tokens, total_tokens=ranked.tokens),
        request_id=request_id,
    )
