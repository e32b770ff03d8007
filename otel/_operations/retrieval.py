"""The spans of retrieval: a search in vector stores, and the indexing of a file."""

from __future__ import annotations

from collections.abc import Sequence

from otel import names
from otel._operations.block import Block
from otel._operations.operation import guarded, nanoseconds

__all__ = ["RetrievalSpan", "start_indexing", "start_retrieval"]


class RetrievalSpan(Block):
    """A search or the indexing of a file."""

    __slots__ = ()

    def __init__(self, operation: str, *, model: str, request_id: str, stores: Sequence[str]) -> None:
        known = {
            names.GEN_AI_PROVIDER_NAME: names.PROVIDER,
            names.GEN_AI_REQUEST_MODEL: model,
            names.GEN_AI_DATA_SOURCE_ID: ",".join(stores),
        }
        if operation == names.GenAiOperationNameValues.RETRIEVAL.value:
            known[names.GEN_AI_OPERATION_NAME] = operation
        super().__init__(f"{operation} {model}", attributes=known, request_id=request_id)

    @guarded
    def found(self, passages: int, seconds: float) -> None:
        """Record how many passages a search found, and draw its part in the database, which ends now."""
        self._set({names.RETRIEVAL_PASSAGES: passages})
        if self._recording and not self._done:
            now = self._now()
            self._child("find", max(self._start_ns, now - nanoseconds(seconds)), now, {})

    def indexed(self, passages: int, characters: int) -> None:
        """Record how much of a file was indexed."""
        self._set({names.RETRIEVAL_PASSAGES: passages, names.RETRIEVAL_CHARACTERS: characters})


def start_retrieval(*, model: str, request_id: str, stores: Sequence[str]) -> RetrievalSpan:
    """Start the span of a search; use it as `with start_retrieval(…) as span:`."""
    return RetrievalSpan(
        names.GenAiOperationNameValues.RETRIEVAL.value, model=model, request_id=request_id, stores=stores
    )


def start_indexing(*, model: str, request_id: str, store: str) -> RetrievalSpan:
    """Start the span of the indexing of a file; use it as `with start_indexing(…) as span:`."""
    return RetrievalSpan("index", model=model, request_id=request_id, stores=[store])
