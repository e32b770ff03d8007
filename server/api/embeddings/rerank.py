"""Reranking from the wire to the domain and back."""

from __future__ import annotations

import numpy as np

from contracts.rerank import RerankDocument, RerankedText, RerankResponse, RerankResult, RerankUsage
from contracts.rerank import RerankRequest as RerankContract
from providers.embeddings.types import Ranked, RerankRequest
from providers.errors import InvalidRequest

__all__ = ["MAX_DOCUMENTS", "rerank_response", "to_rerank_request"]

MAX_DOCUMENTS = 2048


def to_rerank_request(request: RerankContract, *, id: str) -> RerankRequest:
    """Translate a request whose values the contract has checked one by one.

    Raises:
        InvalidRequest: a document is empty, or there are too many.
    """
    if len(request.documents) > MAX_DOCUMENTS:
        message = f"documents: there are {len(request.documents)}; at most {MAX_DOCUMENTS} go together"
        raise InvalidRequest(message, param="documents")
    documents = [_text(document) for document in request.documents]
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


def _text(document: str | RerankDocument) -> str:
    return document if isinstance(document, str) else document.text


def rerank_response(ranked: Ranked, request: RerankContract, *, model: str, request_id: str) -> RerankResponse:
    """The best documents first."""
    scores = np.frombuffer(ranked.scores, "<f4")
    order = np.argsort(-scores, kind="stable")[: request.top_n]
    return RerankResponse(
        id=request_id,
        model=model,
        method="cross-encoder" if ranked.cross_encoder else "bi-encoder",
        results=[
            RerankResult(
                index=int(index),
                relevance_score=float(scores[index]),
                document=RerankedText(text=_text(request.documents[index])) if request.return_documents else None,
            )
            for index in order
        ],
        usage=RerankUsage(prompt_tokens=ranked.tokens, total_tokens=ranked.tokens),
        request_id=request_id,
    )
