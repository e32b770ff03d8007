"""Texts to embed and documents to rank, from the wire to the domain."""

from __future__ import annotations

from contracts.embeddings import MAX_INPUTS
from contracts.embeddings import EmbeddingRequest as EmbeddingContract
from contracts.rerank import RerankDocument
from contracts.rerank import RerankRequest as RerankContract
from providers.embeddings.types import EmbeddingRequest, RerankRequest
from providers.errors import InvalidRequest
from server.api.refusals import check_parameters

__all__ = ["document_text", "to_embedding_request", "to_rerank_request"]


def to_embedding_request(request: EmbeddingContract, *, id: str) -> EmbeddingRequest:
    """Translate a request. The contract has checked each of its values.

    Raises:
        InvalidRequest: an input is empty, or there are too many inputs, or inputs of several kinds.
    """
    check_parameters(request)
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
        raise InvalidRequest(f"input: has {len(given)} inputs; at most {MAX_INPUTS} are allowed", param="input")
    inputs: list[str | list[int]] = []
    for index, item in enumerate(given):
        path = f"input[{index}]" if len(given) > 1 else "input"
        if type(item) is not type(given[0]) or isinstance(item, int):
            raise InvalidRequest(f"{path}: inputs must be all texts or all lists of token ids", param=path)
        if not item:
            raise InvalidRequest(f"{path}: must not be empty", param=path)
        inputs.append(item)
    return inputs


def to_rerank_request(request: RerankContract, *, id: str) -> RerankRequest:
    """Translate a request. The contract has checked each of its values."""
    check_parameters(request)
    return RerankRequest(
        id=id,
        query=request.query,
        documents=[document_text(document) for document in request.documents],
        truncate=request.truncate == "end",
        timeout=request.timeout,
    )


def document_text(document: str | RerankDocument) -> str:
    return document if isinstance(document, str) else document.text
