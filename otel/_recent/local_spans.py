"""Spans that stay in this process: those of the page at `/traces` if nothing is exported.

This stays ours: most servers have no collector, and the five spans of a chat take 82 µs of CPU time; the SDK's take
217 µs (tests/measurements/measure_spans.py), for a sampler's decision, a lock for every change, and checked copies of
attributes that are clean already. These are the API's spans as plain values.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import (
    DEFAULT_TRACE_STATE,
    Link,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
)
from opentelemetry.util.types import Attributes, AttributeValue

__all__ = ["LocalSpan", "LocalTracer"]

_UNSET = Status()


class _Keeper(Protocol):
    """Receiver of spans. A span that began continues to change until it ends."""

    def began(self, span: LocalSpan) -> None: ...

    def ended(self, span: LocalSpan) -> None: ...


class _Event(NamedTuple):
    name: str
    attributes: Attributes
    timestamp: int


class LocalSpan(Span):
    """A span as plain values, read by the names that the SDK's `ReadableSpan` has. Belongs to one thread."""

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        attributes: Attributes,
        start_time: int | None,
        keeper: _Keeper,
    ) -> None:
        self.name = name
        self.context = context
        self.parent = parent
        self.attributes: dict[str, AttributeValue] = {**attributes} if attributes else {}
        self.events: list[_Event] = []
        self.status = _UNSET
        self.start_time = time.time_ns() if start_time is None else start_time
        self.end_time: int | None = None
        self._keeper = keeper
        keeper.began(self)

    def end(self, end_time: int | None = None) -> None:
        if self.end_time is None:
            self.end_time = time.time_ns() if end_time is None else end_time
            self._keeper.ended(self)

    def get_span_context(self) -> SpanContext:
        return self.context

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        if self.end_time is None:
            self.attributes.update(attributes)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self.set_attributes({key: value})

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        if self.end_time is None:
            self.events.append(_Event(name, attributes, time.time_ns() if timestamp is None else timestamp))

    def update_name(self, name: str) -> None:
        if self.end_time is None:
            self.name = name

    def is_recording(self) -> bool:
        return self.end_time is None

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        if self.end_time is None:
            self.status = status if isinstance(status, Status) else Status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Record only the class: a message may quote the prompt."""
        self.add_event("exception", {"exception.type": type(exception).__qualname__}, timestamp)


class LocalTracer(NoOpTracer):
    """Makes spans that only `keeper` receives. None is sampled, so no called service records for this server."""

    def __init__(self, keeper: _Keeper) -> None:
        self._keeper = keeper

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        above = get_current_span(context).get_span_context()
        known = above.is_valid
        own = SpanContext(
            above.trace_id if known else random.getrandbits(128) or 1,
            random.getrandbits(64) or 1,
            is_remote=False,
            trace_state=above.trace_state if known else DEFAULT_TRACE_STATE,
        )
        return LocalSpan(name, own, above if known else None, attributes, start_time, self._keeper)
