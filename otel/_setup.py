"""The SDK, configured once a process from the standard `OTEL_*` variables."""

from __future__ import annotations

import logging
import os
import threading

from opentelemetry import trace
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_SDK_DISABLED,
    OTEL_SERVICE_NAME,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.semconv.attributes.service_attributes import SERVICE_NAME, SERVICE_VERSION

__all__ = ["Telemetry", "setup"]

_logger = logging.getLogger(__name__)


class Telemetry:
    """What `setup` started in this process."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self._provider = provider

    @property
    def exporting(self) -> bool:
        """Whether spans leave this process."""
        return self._provider is not None

    def shutdown(self, timeout: float = 2.0) -> None:
        """Send what is left and stop, within `timeout` seconds whatever the collector does. Idempotent."""
        provider, self._provider = self._provider, None
        if provider is None:
            return
        # The SDK waits for up to 30 s; a daemon thread lets us leave earlier.
        flush = threading.Thread(target=provider.shutdown, name="otel-shutdown", daemon=True)
        flush.start()
        flush.join(timeout)


def setup(*, service_version: str | None = None) -> Telemetry:
    """Start exporting when the environment names a collector; never raises."""
    try:
        return Telemetry(_provider(service_version))
    except Exception:
        _logger.warning("telemetry is off: it could not be set up", exc_info=True)
        return Telemetry(None)


def _provider(service_version: str | None) -> TracerProvider | None:
    if os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
        return None
    if not (os.environ.get(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) or os.environ.get(OTEL_EXPORTER_OTLP_ENDPOINT)):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    attributes = {SERVICE_NAME: os.environ.get(OTEL_SERVICE_NAME) or "mlx-openai-server"}
    if service_version:
        attributes[SERVICE_VERSION] = service_version
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider
