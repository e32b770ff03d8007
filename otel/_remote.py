"""A request's identity in another process, for the log lines of engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel._operations.operation import request_id

__all__ = ["serving", "trace_parent"]

_propagator = TraceContextTextMapPropagator()


def trace_parent() -> str | None:
    """The current span as a W3C `traceparent`; None without a current span."""
    if not trace.get_current_span().get_span_context().is_valid:
        return None
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def serving(identifier: str | None, parent: str | None) -> Iterator[None]:
    """Add this request, and the trace and span of `parent` (a `traceparent`), to the block's log lines."""
    known = request_id.set(identifier)
    token = context_api.attach(_propagator.extract({"traceparent": parent})) if parent is not None else None
    try:
        yield
    finally:
        if token is not None:
            context_api.detach(token)
        request_id.reset(known)
