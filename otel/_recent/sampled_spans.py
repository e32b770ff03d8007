"""The page at `/traces` when spans are exported: the SDK reports them. Only `setup` imports this."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from otel._recent.store import RecentRequests

__all__ = ["RecentProcessor", "RecordAll"]


class RecordAll(Sampler):
    """Decides as another sampler, but records what that drops: the page shows it, and no exporter sends it."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        result = self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is not Decision.DROP:
            return result
        return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

    def get_description(self) -> str:
        return f"RecordAll({self._sampler.get_description()})"


class RecentProcessor(SpanProcessor):
    """Reports spans to `RecentRequests`."""

    def __init__(self, recent: RecentRequests) -> None:
        self._recent = recent

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._recent.began(span)

    def on_end(self, span: ReadableSpan) -> None:
        self._recent.ended(span)
