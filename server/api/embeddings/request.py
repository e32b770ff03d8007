"""Texts to embed and documents to rank, from the wire to the domain."""

from __future__ import annotations

from contracts.embeddings import EmbeddingRequest as EmbeddingContract
from contracts.rerank import RerankDocument
from contracts.rerank import RerankRequest as RerankContract
from providers.embeddings.types import EmbeddingRequest, RerankRequest
from providers.errors import InvalidRequest

__all__ = ["MAX_DOCUMENTS", "MAX_INPUTS", "document_text", "to_embedding_request", "to_rerank_request"]

MAX_INPUTS = 2048
"""OpenAI's."""
MAX_DOCUMENTS = 2048


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


def to_rerank_request(request: RerankContract, *, id: str) -> RerankRequest:
    """Translate a request whose values the contract has checked one by one.

    Raises:
        InvalidRequest: a document is empty, or there are too many.
    """
    if len(request.documents) > MAX_DOCUMENTS:
        message = f"documents: there are {len(request.documents)}; at most {MAX_DOCUMENTS} go together"
        raise InvalidRequest(message, param="documents")
    documents = [document_text(document) for document in request.documents]
    for index, document in enumerate(documents):
        if not document:
            raise InvalidRequest(f"documents[{index}]: must not be empty", param=f"documents[{index}]")
    return RerankRequest(
        id=id,
        query=request.query,
        documents=documents,
        truncate=request.truncate == "end",
        timeout=request.timeout,
    )


def document_text(document: str | RerankDocument) -> str:
    return document if isinstance(document, str) else document.text
