"""The spans of loads: of the load itself and of an unload, and of a request's wait for a load."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from opentelemetry.context import Context

from otel import names
from otel._operations.operation import Operation

__all__ = ["LoadSpan", "start_load", "start_model_load", "start_model_unload"]


class LoadSpan(Operation):
    """A load, an unload, or a wait for a load. Ends with its block."""

    __slots__ = ()

    def __init__(
        self,
        what: str,
        *,
        model: str,
        request_id: str | None = None,
        reason: str | None = None,
        context: Context | None = None,
    ) -> None:
        attributes = {names.GEN_AI_REQUEST_MODEL: model, names.UNLOAD_REASON: reason}
        super().__init__(f"{what} {model}", attributes=attributes, request_id=request_id, context=context)

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
    return LoadSpan("load", model=model, request_id=request_id)


def start_model_load(*, model: str) -> LoadSpan:
    """Start the span of a load, which belongs to no request: many may wait for it. Use it as `start_load`."""
    return LoadSpan("model load", model=model, context=Context())


def start_model_unload(*, model: str, reason: str) -> LoadSpan:
    """Start the span of an unload, a trace of its own; use it as `start_load`."""
    return LoadSpan("model unload", model=model, reason=reason, context=Context())
