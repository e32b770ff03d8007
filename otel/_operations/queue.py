"""The span of a request's wait for a slot of its model."""

from __future__ import annotations

import time

from opentelemetry import trace

from otel import names
from otel._answer import arrived
from otel._instruments import instruments
from otel._operations.operation import Operation, clean, guarded

__all__ = ["QueueSpan", "start_queue"]


class QueueSpan(Operation):
    """The wait for a slot. The first `admitted`, `fail` or `cancel` ends it; later calls do nothing."""

    __slots__ = ("_came", "_labels")

    def __init__(self, *, model: str, request_id: str, depth: int) -> None:
        super().__init__(
            "queue",
            attributes={names.GEN_AI_REQUEST_MODEL: model, names.QUEUE_DEPTH: depth},
            request_id=request_id,
        )
        self._came = time.perf_counter()
        self._labels = {names.GEN_AI_REQUEST_MODEL: clean(model)}

    @guarded
    def admitted(self) -> None:
        """Record that the request has its slot."""
        if self._done:
            return
        waited = time.perf_counter() - self._came
        instruments().queue_wait.record(waited, self._labels)
        arrived.set(self._came)
        if self._finish():
            trace.get_current_span().add_event(names.EVENT_ADMITTED, {names.QUEUE_WAIT_SECONDS: waited})
            self._leave()

    @guarded
    def fail(self, error: BaseException) -> None:
        """Record that the request was refused or waited too long. A cancellation counts as `cancel`."""
        if self._is_cancellation(error):
            self.cancel()
        elif self._finish():
            self._error(error)
            self._leave()

    @guarded
    def cancel(self) -> None:
        """Record that the client disconnected while the request waited."""
        if self._finish():
            self._event(names.EVENT_CANCELLED)
            self._set({names.CANCELLED: True})
            self._leave()

    def _leave(self) -> None:
        now = self._now()
        self._set({names.QUEUE_WAIT_SECONDS: (now - self._start_ns) / 1e9})
        self._end(now)


def start_queue(*, model: str, request_id: str, depth: int) -> QueueSpan:
    """Start the span of a wait for a slot; `depth` requests are waiting already."""
    return QueueSpan(model=model, request_id=request_id, depth=depth)
