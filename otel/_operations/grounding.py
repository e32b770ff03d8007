"""The span of what an answer needs before it: a search for passages, and the choice of those that fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry.trace import INVALID_SPAN, use_span

from otel import names
from otel._answer import Summary, summary
from otel._operations.operation import Operation, guarded

__all__ = ["GroundingSpan", "start_grounding"]


class GroundingSpan(Operation):
    """From the search to the prompt that holds the passages. Searches are its children."""

    __slots__ = ()

    def __init__(self, *, stores: int, request_id: str) -> None:
        super().__init__("grounding", attributes={names.GROUNDING_STORES: stores}, request_id=request_id)

    @contextmanager
    def use(self) -> Iterator[GroundingSpan]:
        """Make this span current for the block, and end it with the block. Enter and leave in one task.

        The request's summary is of the answer that follows: the block has its own, whose metrics are the request's.
        """
        total = summary.get()
        token = summary.set(None if total is None else Summary(points=total.points))
        try:
            with self._current():
                yield self
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            summary.reset(token)
        self._stop()

    def _current(self) -> AbstractContextManager[object]:
        if self._span is INVALID_SPAN:
            return nullcontext()
        return use_span(self._span, record_exception=False, set_status_on_exception=False)

    def found(self, *, found: int, used: int, tokens: int) -> None:
        """Record the number of passages found, of those in the prompt, and of the prompt's tokens that they take."""
        self._set(
            {names.GROUNDING_FOUND: found, names.GROUNDING_USED: used, names.GROUNDING_TOKENS: tokens},
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


def start_grounding(*, stores: int, request_id: str) -> GroundingSpan:
    """Start the span of a search in this number of vector stores."""
    return GroundingSpan(stores=stores, request_id=request_id)
