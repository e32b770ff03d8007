"""Embeddings from the wire to the domain and back. Vectors stay bytes up to the JSON they become."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import attrs
import msgspec
import numpy as np

from contracts.embeddings import EmbeddingRequest as EmbeddingContract
from providers.embeddings.types import Embedded, EmbeddingEvent, EmbeddingRequest, Vectors
from providers.errors import InternalError, InvalidRequest
from server.serialization import encode_json

__all__ = ["MAX_INPUTS", "embedding_response", "to_embedding_request"]

MAX_INPUTS = 2048
"""OpenAI's."""
_SLICE = 64
"""Vectors encoded between two turns of the event loop: a millisecond or two of work."""


def to_embedding_request(request: EmbeddingContract, *, id: str) -> EmbeddingRequest:
    """Translate a request whose values the contract has checked one by one.

    Raises:
        InvalidRequest: inputs that are empty, too many or of several kinds.
    """
    return EmbeddingRequest(
        id=id,
        inputs=_inputs(request.input),
        truncate=request.truncate == "end",
        dimensions=request.dimensions,
        timeout=request.timeout,
    )


def _inputs(given: str | list[str | int | list[int]]) -> list[str | list[int]]:
    if isinstance(given, str):
        given = [given]
    elif all(isinstance(token, int) for token in given):
        return [[token for token in given if isinstance(token, int)]]
    if len(given) > MAX_INPUTS:
        raise InvalidRequest(f"input: there are {len(given)} inputs; at most {MAX_INPUTS} go together", param="input")
    inputs: list[str | list[int]] = []
    for index, item in enumerate(given):
        path = f"input[{index}]" if len(given) > 1 else "input"
        if type(item) is not type(given[0]) or isinstance(item, int):
            raise InvalidRequest(f"{path}: inputs are all texts or all lists of token ids", param=path)
        if not item:
            raise InvalidRequest(f"{path}: must not be empty", param=path)
        inputs.append(item)
    return inputs


@attrs.define
class _Collected:
    parts: list[Vectors] = attrs.field(factory=list)
    end: Embedded | None = None


async def embedding_response(
    events: AsyncIterator[EmbeddingEvent], request: EmbeddingRequest, *, model: str, request_id: str, as_base64: bool
) -> bytes:
    """Read the answer to its end; returns `CreateEmbeddingResponse` as JSON.

    A list of vectors is megabytes: it is made slice by slice, other requests in between, and never as a list of numbers
    whole.
    """
    collected = _Collected()
    async for event in events:
        if isinstance(event, Vectors):
            collected.parts.append(event)
        elif isinstance(event, Embedded):
            collected.end = event
    if collected.end is None:
        raise InternalError.truncated("answer")
    vectors = np.empty((len(request.inputs), collected.end.dimensions), "<f4")
    for part in collected.parts:
        vectors[part.indexes] = np.frombuffer(part.data, "<f4").reshape(len(part.indexes), -1)
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


def _embedding(index: int, vector: np.ndarray[tuple[int], np.dtype[np.float32]], *, as_base64: bool) -> msgspec.Raw:
    value: object = base64.b64encode(vector.tobytes()).decode() if as_base64 else vector.tolist()
    return msgspec.Raw(encode_json({"object": "embedding", "index": index, "embedding": value}))
