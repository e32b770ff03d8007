"""The span of a client's playback: in the trace of its request, after that has ended."""

from __future__ import annotations

import time

import pytest
from opentelemetry.sdk.trace import ReadableSpan

import otel
from otel.testing import CapturedMetrics, CapturedSpans, capture_metrics

HEARD = [("started", 0.010), ("stalled", 0.020), ("resumed", 0.025), ("ended", 0.040)]


def answered() -> otel.PlaybackSpan:
    """The playback of a request that took 50 ms, and has ended."""
    span = otel.start_server_span("POST", "/v1/chat/completions", {})
    with span.use():
        playback = otel.start_playback(model="qwen", request_id="a")
    time.sleep(0.05)
    span.end()
    return playback


def milliseconds(span: ReadableSpan, server: ReadableSpan) -> dict[str, int]:
    assert server.start_time is not None
    return {event.name: round((event.timestamp - server.start_time) / 1e6) for event in span.events}


def test_it_is_a_child_of_the_request_with_the_client_s_times(spans: CapturedSpans) -> None:
    answered().report(HEARD, 1.5)

    server, span = spans.one("POST"), spans.one("client playback")
    assert server.context is not None
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id) == (server.context.trace_id, server.context.span_id)
    expected = {"playback.started": 10, "playback.stalled": 20, "playback.resumed": 25, "playback.ended": 40}
    assert milliseconds(span, server) == expected
    assert (span.start_time, span.end_time) == (span.events[0].timestamp, span.events[-1].timestamp)
    attributes = dict(span.attributes or {})
    assert attributes.pop("mlx.playback.stalled") == pytest.approx(0.005)
    assert attributes == {
        "gen_ai.request.model": "qwen",
        "mlx.playback.time_to_first_sound": 0.010,
        "mlx.playback.stalls": 1,
        "mlx.playback.played": 1.5,
        "request.id": "a",
    }


def test_only_the_first_report_with_events_counts(spans: CapturedSpans) -> None:
    playback = answered()
    playback.report([], 0.5)
    playback.report(HEARD, 1.0)
    playback.report([("started", 0.0)], 2.0)

    assert dict(spans.one("client playback").attributes or {})["mlx.playback.played"] == 1.0


def test_no_event_is_later_than_its_report(spans: CapturedSpans) -> None:
    answered().report([("ended", 86_400.0), ("started", 0.010)], 1.0)

    server, span = spans.one("POST"), spans.one("client playback")
    assert [event.name for event in span.events] == ["playback.started", "playback.ended"]
    assert 50 <= milliseconds(span, server)["playback.ended"] < 10_000


def test_a_turn_that_was_cut_in_silence_has_a_stall_and_no_first_sound(spans: CapturedSpans) -> None:
    with capture_metrics() as metrics:
        answered().report([("stalled", 0.010), ("paused", 0.020), ("stopped", 0.030)], 0.0)
        assert first_sounds(metrics) == 0

    attributes = dict(spans.one("client playback").attributes or {})
    assert "mlx.playback.time_to_first_sound" not in attributes
    assert attributes["mlx.playback.stalled"] == pytest.approx(0.020)


def test_first_sounds_and_stalls_are_measured_by_model() -> None:
    with capture_metrics() as metrics:
        for _ in range(2):
            answered().report(HEARD, 1.0)
        assert first_sounds(metrics) == 2
        assert metrics.value("mlx_playback_stalls_total", gen_ai_request_model="qwen") == 2


def first_sounds(metrics: CapturedMetrics) -> float:
    return metrics.value("mlx_playback_time_to_first_sound_seconds_count", gen_ai_request_model="qwen")
