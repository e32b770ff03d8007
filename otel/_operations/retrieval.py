"""The span of a search for passages that an answer is given to read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry.trace import INVALID_SPAN, use_span

from otel import names
from otel._operations.operation import Operation, guarded

__all__ = ["RetrievalSpan", "start_retrieval"]


class RetrievalSpan(Operation):
    """From the search to the prompt that holds the passages. Spans of the embedding model are its children."""

    __slots__ = ()

    def __init__(self, *, stores: int, request_id: str) -> None:
        super().__init__("retrieval", attributes={names.RETRIEVAL_STORES: stores}, request_id=request_id)

    @contextmanager
    def use(self) -> Iterator[RetrievalSpan]:
        """Make this span current for the block, and end it with the block. Enter and leave in one task."""
        try:
            with self._current():
                yield self
        except BaseException as error:
            self._fail(error)
            raise
        self._stop()

    def _current(self) -> AbstractContextManager[object]:
        if self._span is INVALID_SPAN:
            return nullcontext()
        return use_span(self._span, record_exception=False, set_status_on_exception=False)

    def found(self, *, found: int, used: int, tokens: int) -> None:
        """Record the number of passages found, of those in the prompt, and of the prompt's tokens that they take."""
        self._set(
            {names.RETRIEVAL_FOUND: found, names.RETRIEVAL_USED: used, names.RETRIEVAL_CONTEXT_TOKENS: tokens},
        )

    @guarded
    def _fail(self, error: BaseException) -> None:
        if not self._finish():
            return
        if self._is_cancellation(error):
            self._event(names.EVENT_CANCELLED)
            self._set({names.CANCELLED: True})
        else:
            self._error(error)
        self._end()

    @guarded
    def _stop(self) -> None:
        if self._finish():
            self._end()


def start_retrieval(*, stores: int, request_id: str) -> RetrievalSpan:
    """Start the span of a search in this number of vector stores."""
    return RetrievalSpan(stores=stores, request_id=request_id)
