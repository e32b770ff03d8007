"""Configuration of the SDK, once per process, from the standard `OTEL_*` variables.

The SDK itself reads the resource, the sampler, the limits, the batch sizes and the connection to the collector. This
module decides what it leaves to the application: whether to record and to export, the exporters, and how long to wait
at the end. It imports the SDK only if something is recorded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.semconv.attributes.service_attributes import SERVICE_NAME, SERVICE_VERSION

from otel._content import capture_content
from otel._operations.operation import use_tracer
from otel._setup.exporters import disabled, exporters

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from otel._recent.store import RecentRequests
    from otel._setup.metrics import Metrics

__all__ = ["Telemetry", "metrics_page", "recent_requests", "setup"]

_DEFAULT_SERVICE_NAME = "mlx-openai-server"

_logger = logging.getLogger(__name__)
_lock = threading.Lock()
_current: Telemetry | None = None


class Telemetry:
    """All that `setup` started in this process."""

    def __init__(self) -> None:
        self._metrics: Metrics | None = None
        self._recent: RecentRequests | None = None
        self._stops: list[Callable[[], object]] = []

    def shutdown(self, timeout: float = 2.0) -> None:
        """Send the remaining data, then stop. Blocks for at most `timeout` seconds, even without an answer.

        Idempotent; never raises. Spans that end later are dropped.
        """
        steps, self._stops = self._stops, []
        self._metrics = None
        try:
            # The SDK would wait for 30 s. Its flush continues in daemon threads, which do not keep the process alive.
            flushes = [threading.Thread(target=step, name="otel-shutdown", daemon=True) for step in steps]
            for flush in flushes:
                flush.start()
            end = time.monotonic() + timeout
            for flush in flushes:
                flush.join(max(0.0, end - time.monotonic()))
            if any(flush.is_alive() for flush in flushes):
                _logger.warning("the last spans were not sent: the collector did not answer within %g s", timeout)
        except Exception:
            _logger.debug("telemetry failed to shut down", exc_info=True)


def setup(
    *,
    service_version: str | None = None,
    metrics: bool = False,
    recent: int = 0,
    wanted: Callable[[str], bool] = lambda _: True,
    content: bool = False,
) -> Telemetry:
    """Export traces if the environment selects an exporter; never raises.

    It does if `OTEL_TRACES_EXPORTER` names an exporter, or (if that is unset) `OTEL_EXPORTER_OTLP_ENDPOINT` or
    `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` a collector. A provider set by another library stays in use. A second call
    returns the same `Telemetry`.

    `metrics` records metrics, for `metrics_page` and for exporters selected in the same way; it also exports log lines
    if `OTEL_LOGS_EXPORTER` or `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` is set. `recent` is how many finished requests, of
    `wanted` paths, to keep for `recent_requests`. `content` permits prompts and answers on spans.
    """
    global _current
    with _lock:
        if _current is None:
            _current = Telemetry()
            capture_content(content)
            if disabled():
                use_tracer(None)
            else:
                for part, start in (
                    ("traces", lambda started: _start_traces(started, service_version, recent, wanted)),
                    ("metrics", lambda started: _start_metrics(started, service_version) if metrics else None),
                    ("logs", lambda started: _start_logs(started, service_version) if metrics else None),
                ):
                    _attempt(part, start, _current)
        return _current


def metrics_page() -> tuple[bytes, str]:
    """Prometheus text and its content type; an empty page if nothing is recorded."""
    found = None if _current is None else _current._metrics
    return (b"", "text/plain; charset=utf-8") if found is None else (found.page(), found.content_type)


def recent_requests(since: int = 0) -> dict[str, Any]:
    """The last requests, as `RecentRequests.since` returns them; none if none are kept."""
    found = None if _current is None else _current._recent
    return {"sequence": 0, "requests": []} if found is None else found.since(since)


def _attempt(part: str, start: Callable[[Telemetry], None], telemetry: Telemetry) -> None:
    try:
        start(telemetry)
    except Exception:
        _logger.warning("%s are not exported: the setup failed", part, exc_info=True)


def _start_traces(
    telemetry: Telemetry, service_version: str | None, recent: int, wanted: Callable[[str], bool]
) -> None:
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    found = exporters("traces")
    if recent:
        from otel._recent.store import RecentRequests

        telemetry._recent = RecentRequests(recent, wanted)
    if found:
        _export_traces(telemetry, found, service_version)
    elif telemetry._recent is not None:
        from otel._recent.local_spans import LocalTracer

        use_tracer(LocalTracer(telemetry._recent))


def _export_traces(telemetry: Telemetry, found: list[Any], service_version: str | None) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=_resource(service_version), shutdown_on_exit=False)
    if telemetry._recent is not None:
        from otel._recent.sampled_spans import RecentProcessor, RecordAll

        provider.sampler = RecordAll(provider.sampler)
        provider.add_span_processor(RecentProcessor(telemetry._recent))
    for exporter in found:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    telemetry._stops.append(provider.shutdown)
    _logger.info("traces are exported by %s", ", ".join(type(exporter).__name__ for exporter in found))


def _start_metrics(telemetry: Telemetry, service_version: str | None) -> None:
    from otel._setup.metrics import start_metrics

    telemetry._metrics = started = start_metrics(_resource(service_version))
    if started is not None:
        telemetry._stops.append(started.shutdown)


def _start_logs(telemetry: Telemetry, service_version: str | None) -> None:
    found = exporters("logs")
    if found:
        from otel._setup.logs import send_logs

        telemetry._stops.append(send_logs(found, _resource(service_version)))


def _resource(service_version: str | None) -> Resource:
    """The environment's resource attributes, with defaults for name and version."""
    from opentelemetry.sdk.resources import Resource

    resource = Resource.create()
    ours = {SERVICE_VERSION: service_version} if service_version and SERVICE_VERSION not in resource.attributes else {}
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        ours[SERVICE_NAME] = _DEFAULT_SERVICE_NAME
    return resource.merge(Resource(ours))
