"""The server span of one HTTP request."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel import names
from otel._answer import CANCELLED_ERROR, Summary, summary
from otel._instruments import instruments
from otel._operations.operation import Operation, clean, error_type, guarded, request_id, tracer

__all__ = ["Headers", "ServerSpan", "start_server_span"]

Headers = Mapping[str, str] | Iterable[tuple[bytes, bytes]]
_logger = logging.getLogger(__name__)
_propagator = TraceContextTextMapPropagator()
_READ = {name.encode(): name for name in ("traceparent", "tracestate", "user-agent")}
_METHODS = frozenset(method.value for method in names.HttpRequestMethodValues)


class ServerSpan(Operation):
    """One request, from its header to the last byte of the response."""

    __slots__ = (
        "_active",
        "_began",
        "_context",
        "_exception",
        "_method",
        "_request_bytes",
        "_response_bytes",
        "_route",
        "_status",
        "summary",
    )

    def __init__(self, method: str, path: str, headers: Mapping[str, str], scheme: str, client: str | None) -> None:
        self._method = method if method in _METHODS else "HTTP"
        self._status: int | None = None
        self._exception: BaseException | None = None
        self._route: str | None = None
        self._request_bytes: int | None = None
        self._response_bytes: int | None = None
        self._began = time.perf_counter()
        self.summary = Summary()
        """Totals of this request's answers."""
        known = method in _METHODS
        self._active = {
            names.HTTP_REQUEST_METHOD: method if known else names.HttpRequestMethodValues.OTHER.value,
            names.URL_SCHEME: scheme,
        }
        attributes = {
            **self._active,
            names.HTTP_REQUEST_METHOD_ORIGINAL: None if known else method,
            names.URL_PATH: path,
            names.USER_AGENT_ORIGINAL: headers.get("user-agent"),
            names.CLIENT_ADDRESS: client,
        }
        parent = None if tracer() is None else _extract(headers)
        super().__init__(
            self._method, kind=SpanKind.SERVER, attributes=attributes, context=parent, request_id=request_id.get()
        )
        self._context = None if parent is None else set_span_in_context(self._span, parent)
        self._count(1)

    @contextmanager
    def use(self) -> Iterator[ServerSpan]:
        """Make this span current for the block. Enter and leave in one task."""
        token = None if self._context is None else context_api.attach(self._context)
        summarized = summary.set(self.summary)
        try:
            yield self
        finally:
            summary.reset(summarized)
            if token is not None:
                context_api.detach(token)

    def route(self, template: str) -> None:
        """Set the path template that matched; it names the span."""
        self._route = template

    def status(self, code: int) -> None:
        """Set the response's status."""
        self._status = code

    def size(self, request_bytes: int, response_bytes: int) -> None:
        """Set the bytes of both bodies, as far as they were read and sent."""
        self._request_bytes, self._response_bytes = request_bytes, response_bytes

    def fail(self, error: BaseException) -> None:
        """Record a failure of the request, or (a cancellation) its client's disconnect. The first failure counts."""
        if self._exception is None:
            self._exception = error

    @guarded
    def end(self) -> None:
        """End the span. Statuses from 500 on, and failures not answered with a 4xx, mark it as an error."""
        if not self._done:
            self._measure()
        if self._finish():
            try:
                self._conclude()
            finally:
                self._end()

    @guarded
    def _count(self, change: int) -> None:
        instruments().active.change(self._active, change)

    @guarded
    def _measure(self) -> None:
        """Record metrics. The set of labels is bounded: path templates, never paths, and codes of this server."""
        self._count(-1)
        for histogram, value, known in self.summary.points:
            histogram.record(value, known)
        labels: dict[str, str | int] = {**self._active}
        if self._route is not None:
            labels[names.HTTP_ROUTE] = self._route
        if self._status is not None:
            labels[names.HTTP_RESPONSE_STATUS_CODE] = self._status
        if (kind := self._failure()) is not None:
            labels[names.ERROR_TYPE] = kind
        kit = instruments()
        kit.http_duration.record(time.perf_counter() - self._began, labels)
        if self._request_bytes is not None:
            kit.request_size.record(self._request_bytes, labels)
        if self._response_bytes is not None:
            kit.response_size.record(self._response_bytes, labels)

    def _failure(self) -> str | None:
        """Why the request failed, or that its client disconnected; None if it succeeded or was refused."""
        if self._exception is not None and self._is_cancellation(self._exception):
            return CANCELLED_ERROR
        if self._exception is not None and not (self._status is not None and 400 <= self._status < 500):
            return str(clean(error_type(self._exception)))
        return str(self._status) if self._status is not None and self._status >= 500 else None

    def _conclude(self) -> None:
        if self._route is not None:
            self._span.update_name(clean(f"{self._method} {self._route}"))
        self._set(
            {
                names.HTTP_ROUTE: self._route,
                names.HTTP_RESPONSE_STATUS_CODE: self._status,
                names.HTTP_REQUEST_BODY_SIZE: self._request_bytes,
                names.HTTP_RESPONSE_BODY_SIZE: self._response_bytes,
                names.REQUEST_ID: request_id.get() if self._request_id is None else None,
            }
        )
        refused = self._status is not None and 400 <= self._status < 500
        if self._exception is not None and self._is_cancellation(self._exception):
            self._event(names.EVENT_CANCELLED)
            self._set({names.CANCELLED: True})
        elif self._exception is not None and refused:
            self._set({names.ERROR_TYPE: error_type(self._exception)})
        elif self._exception is not None:
            self._error(self._exception)
        elif self._status is not None and self._status >= 500:
            self._set({names.ERROR_TYPE: str(self._status)})
            self._span.set_status(StatusCode.ERROR)


def _extract(headers: Mapping[str, str]) -> Context:
    """The caller's trace, or an empty context.

    Only `traceparent` and `tracestate` are read, before the API key is checked. Parsing 8 kB of `baggage` takes 55 ms,
    and nothing here uses it.
    """
    if "traceparent" not in headers:
        return Context()
    try:
        return _propagator.extract(headers, context=Context())
    except Exception:
        _logger.debug("telemetry failed to continue the caller's trace", exc_info=True)
        return Context()


def _mapping(headers: Headers) -> Mapping[str, str]:
    """The headers that spans need, by name. Repeated ones become one list (RFC 9110, 5.3); `tracestate` may repeat."""
    if isinstance(headers, Mapping):
        return headers
    joined: dict[str, str] = {}
    try:
        for raw_name, raw_value in headers:
            name = _READ.get(raw_name.lower())
            if name is None:
                continue
            value = raw_value.decode("latin-1")
            joined[name] = f"{joined[name]},{value}" if name in joined else value
    except Exception:
        _logger.debug("telemetry failed to read the headers", exc_info=True)
    return joined


def start_server_span(
    method: str, path: str, headers: Headers, *, scheme: str = "http", client: str | None = None
) -> ServerSpan:
    """Start the span of a request, continuing the caller's `traceparent` and `tracestate`.

    `headers` are lower-case names in a mapping, or an ASGI scope's pairs of bytes. Set `otel.request_id` before.
    """
    return ServerSpan(method, path, _mapping(headers), scheme, client)
