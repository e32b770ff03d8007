"""Which of a model's engines answers a request."""

from __future__ import annotations

from opentelemetry import trace

from otel import names
from otel._operations.operation import guarded

__all__ = ["note_replica"]


@guarded
def note_replica(replica: int, route: str) -> None:
    """Record on the span of the request which replica it was sent to, and why."""
    span = trace.get_current_span()
    if span.is_recording():
        known: dict[str, str | int] = {names.REPLICA: replica, names.REPLICA_ROUTE: route}
        span.set_attributes(known)
        span.add_event(names.EVENT_ROUTED, known)
