"""A small OpenTelemetry collector: receives OTLP/HTTP and stores spans, log lines and the names of metrics."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["Collector", "Line", "Span", "collecting"]


@attrs.frozen(kw_only=True)
class Span:
    """A received span. Ids are hexadecimal, times are nanoseconds since the epoch."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    trace_state: str


@attrs.frozen(kw_only=True)
class Line:
    """A received log line."""

    body: str
    severity: str
    trace_id: str
    span_id: str
    attributes: dict[str, Any]


@attrs.define(eq=False)
class Collector:
    """Everything received so far."""

    endpoint: str = ""
    metric_names: set[str] = attrs.field(factory=set)
    raw: bytearray = attrs.field(factory=bytearray)
    """All bodies, concatenated. Protobuf does not encode text, so a search in them finds it."""
    _spans: list[Span] = attrs.field(factory=list)
    _lines: list[Line] = attrs.field(factory=list)
    _changed: threading.Condition = attrs.field(factory=threading.Condition)

    def take(self, body: bytes) -> None:
        spans = [
            _span(span, _values(resource.resource.attributes))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._changed:
            self._spans.extend(spans)
            self._changed.notify_all()

    def take_metrics(self, body: bytes) -> None:
        self.metric_names |= {
            metric.name
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def take_logs(self, body: bytes) -> None:
        lines = [
            Line(
                body=record.body.string_value,
                severity=record.severity_text,
                trace_id=record.trace_id.hex(),
                span_id=record.span_id.hex(),
                attributes=_values(record.attributes),
            )
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]
        with self._changed:
            self._lines.extend(lines)
            self._changed.notify_all()

    def line(self, trace_id: str, body: str, timeout: float = 30.0) -> Line:
        """Wait for this trace's log line with that body."""

        def found() -> Line | None:
            return next((line for line in self._lines if (line.trace_id, line.body) == (trace_id, body)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, timeout)
            if (line := found()) is not None:
                return line
        pytest.fail(f"no line {body!r} of trace {trace_id}, only {[line.body for line in self._lines]}")

    def trace(self, trace_id: str, *, of: int = 0, at_least: int = 0, timeout: float = 30.0) -> dict[str, Span]:
        """Wait for at least `at_least` spans of one trace, or exactly `of`. Returns them by name."""

        def found() -> list[Span]:
            return [span for span in self._spans if span.trace_id == trace_id]

        with self._changed:
            self._changed.wait_for(lambda: len(found()) >= (of or at_least), timeout)
            spans = {span.name: span for span in found()}
            enough = len(spans) == of if of else len(found()) >= at_least
        if not enough:
            pytest.fail(f"too few or too many spans of trace {trace_id}: {[span.name for span in found()]}")
        return spans


def _span(span: Any, resource: dict[str, Any]) -> Span:
    return Span(
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        status=span.status.code,
        attributes=_values(span.attributes),
        resource=resource,
        trace_state=span.trace_state,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port; `endpoint` is the value for `OTEL_EXPORTER_OTLP_ENDPOINT`."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            takers = {
                "/v1/traces": collector.take,
                "/v1/metrics": collector.take_metrics,
                "/v1/logs": collector.take_logs,
            }
            collector.raw += body
            takers[self.path](body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield collector
        server.shutdown()
