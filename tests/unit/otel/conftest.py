"""Spans that tests of telemetry read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from otel.testing import CapturedSpans, capture_spans


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture_spans() as captured:
        yield captured
