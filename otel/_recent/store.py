"""The last requests and their spans, in memory, for the page at `/traces`. Needs no exporter and no collector."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs
from opentelemetry.trace import SpanContext, Status, StatusCode, format_span_id, format_trace_id

from otel import names

__all__ = ["KeptSpan", "RecentRequests"]

MAX_SPANS = 256
"""Limit per request; further spans are counted and left out."""
_CONTENT = frozenset({names.GEN_AI_INPUT_MESSAGES, names.GEN_AI_OUTPUT_MESSAGES, names.GEN_AI_TOOL_DEFINITIONS})


class KeptEvent(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def timestamp(self) -> int: ...


class KeptSpan(Protocol):
    """Attributes read from spans: those of the SDK and `LocalSpan` have these names."""

    @property
    def name(self) -> str: ...

    @property
    def context(self) -> SpanContext | None: ...

    @property
    def parent(self) -> SpanContext | None: ...

    @property
    def attributes(self) -> Mapping[str, Any] | None: ...

    @property
    def events(self) -> Sequence[KeptEvent]: ...

    @property
    def status(self) -> Status: ...

    @property
    def start_time(self) -> int | None: ...

    @property
    def end_time(self) -> int | None: ...


@attrs.define(eq=False)
class _Request:
    root: KeptSpan
    open: dict[int, KeptSpan] = attrs.field(factory=dict)
    spans: list[KeptSpan] = attrs.field(factory=list)
    left_out: int = 0
    sequence: int = 0
    finished: bool = False


class RecentRequests:
    """Keeps the last `size` finished requests whose path is `wanted`, and those in flight.

    A request is a server span and the spans started under it in this process; a caller's trace may contain several.
    A span that starts under a finished request (a client's report of its playback) is added to it.
    """

    def __init__(self, size: int, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self._finished: deque[_Request] = deque(maxlen=size)
        self._of: dict[int, _Request] = {}
        """Requests by the IDs of their open spans."""
        self._sequence = 0
        self._lock = threading.Lock()

    def began(self, span: KeptSpan) -> None:
        """Record that a span started."""
        context, parent = span.context, span.parent
        if context is None:
            return
        with self._lock:
            if parent is not None and not parent.is_remote:
                request = self._of.get(parent.span_id) or self._of_finished(parent.span_id)
            else:
                request = _Request(span) if self._wanted(_path(span)) else None
            if request is not None:
                self._of[context.span_id] = request
                request.open[context.span_id] = span

    def ended(self, span: KeptSpan) -> None:
        """Record that a span ended; it may be another object than the one that began."""
        context = span.context
        if context is None:
            return
        with self._lock:
            request = self._of.pop(context.span_id, None)
            if request is None:
                return
            request.open.pop(context.span_id, None)
            if len(request.spans) < MAX_SPANS:
                request.spans.append(span)
            else:
                request.left_out += 1
            if _is(request.root, context.span_id):
                self._finish(request, span)
            elif request.finished:
                self._sequence += 1
                request.sequence = self._sequence

    def _of_finished(self, root: int) -> _Request | None:
        return next((request for request in reversed(self._finished) if _is(request.root, root)), None)

    def _finish(self, request: _Request, root: KeptSpan) -> None:
        request.root = root
        request.finished = True
        for straggler in request.open:
            self._of.pop(straggler, None)
        request.open.clear()
        self._sequence += 1
        request.sequence = self._sequence
        self._finished.append(request)

    def since(self, sequence: int) -> dict[str, Any]:
        """Requests that finished or grew after `sequence`, oldest first, and those in flight, as JSON types.

        The result's `sequence` is the argument of the next call. Contents are always left out.
        """
        with self._lock:
            finished = [request for request in self._finished if request.sequence > sequence]
            in_flight = [
                (request, [*request.spans], [*request.open.values()])
                for request in {id(request): request for request in self._of.values()}.values()
                if not request.finished
            ]
            latest = self._sequence
        now = time.time_ns()
        return {
            "sequence": latest,
            "requests": [
                *(_rendered(request, request.spans, (), now) for request in finished),
                *(_rendered(request, spans, still_open, now) for request, spans, still_open in in_flight),
            ],
        }


def _is(span: KeptSpan, span_id: int) -> bool:
    return span.context is not None and span.context.span_id == span_id


def _path(span: KeptSpan) -> str:
    return str((span.attributes or {}).get(names.URL_PATH, ""))


def _rendered(request: _Request, spans: Sequence[KeptSpan], still_open: Sequence[KeptSpan], now: int) -> dict[str, Any]:
    root = request.root
    attributes: Mapping[str, Any] = root.attributes or {}
    begin, end = root.start_time or now, root.end_time or now
    models = ((span.attributes or {}).get(names.GEN_AI_REQUEST_MODEL) for span in (*spans, *still_open))
    return {
        "key": format_span_id(root.context.span_id) if root.context else "",
        "trace_id": format_trace_id(root.context.trace_id) if root.context else "",
        "request_id": attributes.get(names.REQUEST_ID),
        "name": root.name,
        "path": attributes.get(names.URL_PATH),
        "status": attributes.get(names.HTTP_RESPONSE_STATUS_CODE),
        "error": attributes.get(names.ERROR_TYPE),
        "cancelled": attributes.get(names.CANCELLED, False),
        "model": next((model for model in models if model), None),
        "start": begin / 1e9,
        "duration": (end - begin) / 1e9,
        "finished": root.end_time is not None,
        "left_out": request.left_out,
        "spans": [_span(span, begin, now) for span in sorted((*spans, *still_open), key=_place)],
    }


def _place(span: KeptSpan) -> tuple[int, float]:
    """Sort key: by start; of spans that start together, the longest contains the others."""
    return span.start_time or 0, -(span.end_time or math.inf)


def _span(span: KeptSpan, begin: int, now: int) -> dict[str, Any]:
    start, end = span.start_time or now, span.end_time or now
    return {
        "name": span.name,
        "id": format_span_id(span.context.span_id) if span.context else "",
        "parent": format_span_id(span.parent.span_id) if span.parent else None,
        "start": (start - begin) / 1e9,
        "duration": max(0, end - start) / 1e9,
        "finished": span.end_time is not None,
        "failed": span.status.status_code is StatusCode.ERROR,
        "attributes": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in (span.attributes or {}).items()
            if key not in _CONTENT
        },
        "events": [{"name": event.name, "at": (event.timestamp - begin) / 1e9} for event in span.events],
    }
