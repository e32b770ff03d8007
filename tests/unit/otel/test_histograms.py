"""Values that reach the SDK's sums directly are the same on the page as those that it takes itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, HistogramDataPoint, InMemoryMetricReader

from otel import _histograms
from otel._histograms import MAX_SETS, RememberingHistogram
from otel._operations import operation
from otel._recent.local_spans import LocalTracer
from otel._recent.store import RecentRequests

LABELS = {"model": "qwen", "status": 200}
VALUES = (0.05, 0.5, 3.0, 0, 1)


@pytest.fixture(autouse=True)
def local_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "_tracer", LocalTracer(RecentRequests(1, lambda _: True)))


@pytest.fixture
def through_the_sdk(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The values that the SDK's `record` gets."""
    seen: list[float] = []
    record = Histogram.record

    def noted(self: Any, amount: float, *arguments: Any, **options: Any) -> None:
        seen.append(amount)
        record(self, amount, *arguments, **options)

    monkeypatch.setattr(Histogram, "record", noted)
    return seen


class Page:
    """A histogram and what a reader finds of it."""

    def __init__(self, **options: Any) -> None:
        temporality = options.pop("temporality", AggregationTemporality.CUMULATIVE)
        self._reader = InMemoryMetricReader(preferred_temporality={Histogram: temporality})
        self._provider = MeterProvider((self._reader,), shutdown_on_exit=False, **options)
        self.made = self._provider.get_meter("test").create_histogram(
            "seconds", explicit_bucket_boundaries_advisory=[0.1, 1.0, 2.0]
        )

    def points(self) -> Sequence[HistogramDataPoint]:
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
        return [point for point in metric.data.data_points if isinstance(point, HistogramDataPoint)]


def sums(points: Sequence[HistogramDataPoint]) -> list[Any]:
    return [
        (dict(point.attributes or {}), point.count, point.sum, point.min, point.max, tuple(point.bucket_counts))
        for point in points
    ]


def test_values_are_summed_as_the_sdk_sums_them(through_the_sdk: list[float]) -> None:
    theirs, ours = Page(), Page()
    remembering = RememberingHistogram(ours.made)
    for labels in (LABELS, {"model": "qwen", "status": 500}, LABELS):
        for value in VALUES:
            theirs.made.record(value, labels)
            remembering.record(value, labels)
        assert sums(ours.points()) == sums(theirs.points())
    assert len(through_the_sdk) == 15 + 2  # of ours, the first value of each set of labels


def test_labels_in_another_order_are_the_same_sum() -> None:
    page = Page()
    remembering = RememberingHistogram(page.made)
    for _ in range(2):
        remembering.record(1, {"a": "x", "b": "y"})
        remembering.record(1, {"b": "y", "a": "x"})
    (point,) = page.points()
    assert point.count == 4


def test_sums_that_are_discarded_at_each_collection_lose_nothing() -> None:
    page = Page(temporality=AggregationTemporality.DELTA)
    remembering = RememberingHistogram(page.made)
    for count in (1, 3, 2):
        for _ in range(count):
            remembering.record(0.5, LABELS)
        assert [point.count for point in page.points()] == [count]


def test_values_that_may_become_exemplars_go_through_the_sdk(through_the_sdk: list[float]) -> None:
    page = Page(exemplar_filter=AlwaysOnExemplarFilter())
    remembering = RememberingHistogram(page.made)
    for value in VALUES:
        remembering.record(value, LABELS)
    assert through_the_sdk == [*VALUES]
    assert page.points()[0].exemplars


def test_values_beside_exported_spans_go_through_the_sdk(
    through_the_sdk: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "_tracer", None)
    remembering = RememberingHistogram(Page().made)
    for value in VALUES:
        remembering.record(value, LABELS)
    assert through_the_sdk == [*VALUES]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_values_that_the_sdk_refuses_are_not_summed(value: float, caplog: pytest.LogCaptureFixture) -> None:
    page = Page()
    remembering = RememberingHistogram(page.made)
    remembering.record(1.0, LABELS)
    with caplog.at_level(logging.WARNING):
        remembering.record(value, LABELS)
    assert "Record amount" in caplog.text
    assert page.points()[0].count == 1


def test_the_sets_of_labels_that_are_remembered_are_bounded(through_the_sdk: list[float]) -> None:
    page = Page()
    remembering = RememberingHistogram(page.made)
    for _ in range(2):
        for number in range(MAX_SETS + 2):
            remembering.record(1, {"number": number})
    assert len(through_the_sdk) == MAX_SETS + 2 + 2
    assert [point.count for point in page.points()] == [2] * (MAX_SETS + 2)


def test_with_other_internals_every_value_goes_through_the_sdk(
    through_the_sdk: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(histogram: Any, labels: Any) -> tuple[Callable[[Any, bool], None], ...]:
        raise AttributeError("_measurement_consumer")

    page = Page()
    monkeypatch.setattr(_histograms, "_places", other)
    remembering = RememberingHistogram(page.made)
    for value in VALUES:
        remembering.record(value, LABELS)
    assert through_the_sdk == [*VALUES]
    assert page.points()[0].count == len(VALUES)
