"""The SDK, configured once a process from the standard `OTEL_*` variables.

The SDK itself reads the resource, the sampler, the limits, the batch sizes and everything about the collector; here is
only what it leaves to the application: whether to export at all, through which exporters, and for how long to wait at
the end. The SDK is imported only when something is exported.
"""

from __future__ import annotations

import logging
import os
import threading
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.environment_variables import OTEL_TRACES_EXPORTER
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_SDK_DISABLED,
)
from opentelemetry.semconv.attributes.service_attributes import SERVICE_NAME, SERVICE_VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["Telemetry", "setup"]

_DEFAULT_SERVICE_NAME = "mlx-openai-server"
_OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
"""Entry points of the OTLP exporters, by protocol. Only the first is among our dependencies."""

_logger = logging.getLogger(__name__)
_lock = threading.Lock()
_current: Telemetry | None = None


class Telemetry:
    """What `setup` started in this process."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider

    @property
    def exporting(self) -> bool:
        """Whether spans are being exported by what `setup` started."""
        return self._provider is not None

    def shutdown(self, timeout: float = 2.0) -> None:
        """Send what is left, then stop. Blocks for at most `timeout` seconds, whatever the collector does.

        Idempotent; never raises. Spans that end later are dropped.
        """
        provider, self._provider = self._provider, None
        if provider is None:
            return
        try:
            # The SDK would wait for 30 s. Its flush goes on in a daemon thread, which does not keep the process.
            flush = threading.Thread(target=provider.shutdown, name="otel-shutdown", daemon=True)
            flush.start()
            flush.join(timeout)
            if flush.is_alive():
                _logger.warning("the last spans were not sent: the collector did not answer within %g s", timeout)
        except Exception:
            _logger.debug("telemetry failed to shut down", exc_info=True)


def setup(*, service_version: str | None = None) -> Telemetry:
    """Export traces if the environment asks for it; never raises.

    It does when `OTEL_TRACES_EXPORTER` names an exporter, or (that being unset) when `OTEL_EXPORTER_OTLP_ENDPOINT` or
    `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` names a collector. A provider that something else has set is left alone.
    Calling it again returns the same `Telemetry`.
    """
    global _current
    with _lock:
        if _current is None:
            try:
                _current = Telemetry(_start(service_version))
            except Exception:
                _logger.warning("traces are not exported: the setup failed", exc_info=True)
                _current = Telemetry()
        return _current


def _start(service_version: str | None) -> TracerProvider | None:
    if _variable(OTEL_SDK_DISABLED).lower() == "true":
        return None
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    exporters = [exporter for name in _exporter_names() if (exporter := _load(name)) is not None]
    if not exporters:
        return None

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=_resource(service_version), shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _logger.info("traces are exported by %s", ", ".join(type(exporter).__name__ for exporter in exporters))
    return provider


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()


def _exporter_names() -> list[str]:
    chosen = _variable(OTEL_TRACES_EXPORTER)
    if not chosen:
        collector = _variable(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) or _variable(OTEL_EXPORTER_OTLP_ENDPOINT)
        chosen = "otlp" if collector else "none"
    return [name for part in chosen.split(",") if (name := part.strip().lower()) not in ("", "none")]


def _load(name: str) -> SpanExporter | None:
    """The installed exporter of this name, or None and a warning that says what to change."""
    wanted = name
    if name == "otlp":
        protocol = _variable(OTEL_EXPORTER_OTLP_TRACES_PROTOCOL) or _variable(OTEL_EXPORTER_OTLP_PROTOCOL)
        protocol = protocol or "http/protobuf"
        name, wanted = _OTLP.get(protocol, protocol), f"otlp over {protocol}"
    found = tuple(entry_points(group="opentelemetry_traces_exporter", name=name))
    if not found:
        _logger.warning("no exporter for %s is installed: traces are not sent there", wanted)
        return None
    try:
        exporter: SpanExporter = found[0].load()()
    except Exception:
        _logger.warning("the exporter for %s failed to start: traces are not sent there", wanted, exc_info=True)
        return None
    return exporter


def _resource(service_version: str | None) -> Resource:
    """What the environment says of this service, completed by what it leaves out."""
    from opentelemetry.sdk.resources import Resource

    resource = Resource.create()
    ours = {SERVICE_VERSION: service_version} if service_version and SERVICE_VERSION not in resource.attributes else {}
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        ours[SERVICE_NAME] = _DEFAULT_SERVICE_NAME
    return resource.merge(Resource(ours))
