"""Spans in memory, for tests of whoever emits them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from otel import _core

__all__ = ["CapturedSpans", "capture_spans"]


@attrs.frozen
class CapturedSpans:
    """What was recorded since `capture_spans` began, in the order of ending."""

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
def capture_spans(sampler: Sampler = ALWAYS_ON) -> Iterator[CapturedSpans]:
    """Record every span of ours that starts in the block, in this process, whatever `setup` did."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before, _core._tracer = _core._tracer, provider.get_tracer(_core.SCOPE)
    try:
        yield CapturedSpans(exporter)
    finally:
        _core._tracer = before
        provider.shutdown()
