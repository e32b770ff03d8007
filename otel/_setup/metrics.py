"""The SDK's side of metrics: the Prometheus page, and the push to a collector. Only `setup` imports this."""

from __future__ import annotations

import threading

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import MeterProvider as ApiMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from otel._setup.exporters import exporters

__all__ = ["Metrics", "start_metrics"]


class Metrics:
    """A meter provider and its page."""

    content_type: str = CONTENT_TYPE_LATEST

    def __init__(self, resource: Resource, *readers: MetricReader) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._page = PrometheusMetricReader(registry=self._registry, scope_info_enabled=False)
        self.provider = MeterProvider((self._page, *readers), resource, shutdown_on_exit=False)
        self._lock = threading.Lock()

    def page(self) -> bytes:
        """Prometheus text, collected now. Takes milliseconds; may be called from any thread."""
        with self._lock:
            return generate_latest(self._registry)

    def shutdown(self) -> None:
        """Push the remaining metrics. Blocks while the collector does."""
        self.provider.shutdown()


def start_metrics(resource: Resource) -> Metrics | None:
    """Start recording in this process; None if another library has set a provider."""
    if not _unset(metrics.get_meter_provider()):
        return None
    started = Metrics(resource, *(PeriodicExportingMetricReader(exporter) for exporter in exporters("metrics")))
    metrics.set_meter_provider(started.provider)
    return started


def _unset(provider: ApiMeterProvider) -> bool:
    return type(provider).__name__ == "_ProxyMeterProvider"
