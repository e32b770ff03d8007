"""Texts to embed and documents to rank, from the wire to the domain."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import otel
from contracts.embeddings import MAX_INPUTS
from contracts.embeddings import EmbeddingRequest as EmbeddingContract
from contracts.rerank import RerankDocument
from contracts.rerank import RerankRequest as RerankContract
from providers.embeddings.types import EmbeddingRequest, RerankRequest, Truncation
from providers.errors import InvalidRequest
from server.api.refusals import check_parameters

__all__ = ["document_text", "to_embedding_request", "to_rerank_request"]

_log = otel.get_logger("server.embeddings")

_TRUNCATIONS: Mapping[str, Truncation] = {"none": "none", "end": "end", "start": "start"}


def to_embedding_request(request: EmbeddingContract, *, id: str, truncate: Truncation = "none") -> EmbeddingRequest:
    """Translate a request. The contract has checked each of its values. `truncate` is the server's default.

    Raises:
        InvalidRequest: a list of token ids is empty, or there are too many inputs, or inputs of several kinds.
    """
    check_parameters(request)
    inputs = _inputs(request.input)
    if not isinstance(inputs[0], str):
        _warn_of_token_ids()
    return EmbeddingRequest(
        id=id,
        inputs=inputs,
        truncate=_truncation(request.truncate, truncate),
        dimensions=request.dimensions,
        timeout=request.timeout,
    )


def _truncation(asked: str | bool | None, default: Truncation) -> Truncation:
    if asked is None:
        return default
    if isinstance(asked, bool):
        return "end" if asked else "none"
    return _TRUNCATIONS[asked.lower()]


@functools.cache
def _warn_of_token_ids() -> None:
    """Warn once. Ids of another tokenizer are mostly within the vocabulary, and make vectors without meaning."""
    _log.warning(
        "a client sends token ids to embed, which must be those of the model; LangChain's OpenAIEmbeddings sends those "
        "of OpenAI's models unless check_embedding_ctx_length=False"
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
        if item == []:
            raise InvalidRequest(f"{path}: must not be empty", param=path)
        inputs.append(item)
    return inputs


def to_rerank_request(request: RerankContract, *, id: str, truncate: Truncation = "none") -> RerankRequest:
    """Translate a request. The contract has checked each of its values. `truncate` is the server's default."""
    check_parameters(request)
    return RerankRequest(
        id=id,
        query=request.query,
        documents=[document_text(document) for document in request.documents],
        truncate=_truncation(request.truncate, truncate),
        timeout=request.timeout,
    )


def document_text(document: str | RerankDocument) -> str:
    return document if isinstance(document, str) else document.text
