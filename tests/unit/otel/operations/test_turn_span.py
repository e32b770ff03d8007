"""The span of a turn: its legs, each once, and how it ended."""

from __future__ import annotations

import otel
from otel.testing import CapturedSpans


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
