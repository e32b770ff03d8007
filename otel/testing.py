"""Spans and metrics in memory, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from otel import _content, _instruments, _readings
from otel._operations import operation as _operation
from otel._setup import sdk as _setup
from otel._setup.metrics import Metrics

__all__ = ["CapturedMetrics", "CapturedSpans", "capture_metrics", "capture_spans"]


@attrs.frozen
class CapturedSpans:
    """Spans recorded since `capture_spans` began, in the order of their ends."""

    _exporter: InMemorySpanExporter

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def names(self) -> list[str]:
        return [span.name for span in self.all()]

    def one(self, name: str) -> ReadableSpan:
        """The only finished span of this name.

        Raises:
            LookupError: none, or several.
        """
        found = [span for span in self.all() if span.name == name]
        if len(found) != 1:
            raise LookupError(f"{len(found)} spans named {name!r} among {self.names()}")
        return found[0]


@contextmanager
def capture_spans(sampler: Sampler = ALWAYS_ON, *, content: bool = False) -> Iterator[CapturedSpans]:
    """Record every span that this process starts in the block, regardless of `setup`."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before, _operation._tracer = _operation._tracer, provider.get_tracer(_operation.SCOPE)
    _content.capture_content(content)
    try:
        yield CapturedSpans(exporter)
    finally:
        _operation._tracer = before
        _content.capture_content(False)
        provider.shutdown()


@attrs.frozen
class CapturedMetrics:
    """Metrics recorded since `capture_metrics` began."""

    _metrics: Metrics

    def page(self) -> str:
        return self._metrics.page().decode()

    def families(self) -> dict[str, Metric]:
        """Everything on the page, as Prometheus parses it."""
        return {family.name: family for family in text_string_to_metric_families(self.page())}

    def value(self, sample: str, **labels: str) -> float:
        """The sum over the samples of this name that have these labels; 0 without any.

        Label values must be equal; labels that are not passed may have any value.
        """
        return sum(
            found.value
            for family in self.families().values()
            for found in family.samples
            if found.name == sample and labels.items() <= found.labels.items()
        )


@contextmanager
def capture_metrics() -> Iterator[CapturedMetrics]:
    """Record every metric of this process in the block, from zero; `metrics_page` shows them.

    Models watched before are not read meanwhile.
    """
    metrics = Metrics(Resource.create({}))
    telemetry = _setup.Telemetry()
    telemetry._metrics = metrics
    before = _instruments._instruments, _readings._sources, _readings._tallies, _setup._current
    _readings._sources, _readings._tallies, _setup._current = {}, {}, telemetry
    _instruments._instruments = _instruments.Instruments(metrics.provider.get_meter(_operation.SCOPE))
    try:
        yield CapturedMetrics(metrics)
    finally:
        _instruments._instruments, _readings._sources, _readings._tallies, _setup._current = before
        metrics.shutdown()
