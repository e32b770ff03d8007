"""The span of a request's wait for a model that is loaded on first use."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from otel import names
from otel._operations.operation import Operation

__all__ = ["LoadSpan", "start_load"]


class LoadSpan(Operation):
    """The wait of a request for a model that is loaded on first use. Ends with its block."""

    __slots__ = ()

    def __init__(self, *, model: str, request_id: str) -> None:
        super().__init__(f"load {model}", attributes={names.GEN_AI_REQUEST_MODEL: model}, request_id=request_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finish():
            return
        if error is not None and not self._is_cancellation(error):
            self._error(error)
        elif error is not None:
            self._set({names.CANCELLED: True})
        self._end()


def start_load(*, model: str, request_id: str) -> LoadSpan:
    """Start the span of a wait for a model to be loaded; use it as `with start_load(…):`."""
    return LoadSpan(model=model, request_id=request_id)
