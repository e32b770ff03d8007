"""The span of a turn: its legs, each once, and how it ended."""

from __future__ import annotations

import pytest

import otel
from otel.testing import CapturedSpans


def test_a_turn_begins_when_the_user_has_stopped_speaking(spans: CapturedSpans) -> None:
    with otel.start_turn(model="m", request_id="r", session="sess_1", response="resp_1", ago=2.0) as turn:
        turn.speech_stopped(1.5)
        turn.transcribed(0.5)
        turn.first_token()
    span = spans.one("turn m")
    assert span.start_time is not None
    after = [(event.name, (event.timestamp - span.start_time) / 1e9) for event in span.events]
    assert [name for name, _ in after] == ["speech_stopped", "transcribed", "first_token"]
    assert [seconds for _, seconds in after] == [pytest.approx(at, abs=0.3) for at in (0.5, 1.5, 2.0)]


def test_no_leg_ends_before_its_turn_begins(spans: CapturedSpans) -> None:
    with otel.start_turn(model="m", request_id="r", session="sess_1", response="resp_1") as turn:
        turn.transcribed(60.0)
    span = spans.one("turn m")
    assert [event.timestamp for event in span.events] == [span.start_time]


def test_a_turn_has_its_legs_and_its_children(spans: CapturedSpans) -> None:
    with otel.start_turn(model="m", request_id="r", session="sess_1", response="resp_1") as turn:
        turn.transcribed()
        turn.first_token()
        turn.first_token()
        turn.first_audio()
        with otel.start_media(model="m", request_id="r"):
            pass
        turn.ended("completed")
    span = spans.one("turn m")
    assert [event.name for event in span.events] == ["transcribed", "first_token", "first_audio"]
    attributes = dict(span.attributes or {})
    assert attributes["gen_ai.conversation.id"] == "sess_1"
    assert attributes["gen_ai.response.id"] == "resp_1"
    assert attributes["mlx.turn.status"] == "completed"
    parent = spans.one("media").parent
    assert parent is not None
    assert span.context is not None
    assert parent.span_id == span.context.span_id
