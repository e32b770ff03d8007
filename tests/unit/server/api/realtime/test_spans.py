"""The trace of a session: the legs of its turns, and what was heard of the answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from otel.testing import CapturedSpans, capture_spans
from tests.unit.server.api.realtime.talks import HELLO, prompt, talk, two_texts
from tests.unit.server.fakes import FakeChat


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture_spans() as captured:
        yield captured


def events(span: ReadableSpan) -> dict[str, float]:
    """Seconds from the span's beginning to each of its events."""
    assert span.start_time is not None
    return {event.name: (event.timestamp - span.start_time) / 1e9 for event in span.events}


def first(spans: CapturedSpans, name: str) -> ReadableSpan:
    return next(span for span in spans.all() if span.name == name)


async def test_a_turn_begins_with_the_end_of_the_speech(spans: CapturedSpans) -> None:
    async with talk("Hello.") as made:
        made.say(HELLO)
        await made.socket.until("response.done")

    legs = events(spans.one("turn org/fake"))
    legs.pop("queue.admitted")
    assert [*legs] == ["speech_stopped", "transcribed", "first_token", "first_audio"]
    assert legs["speech_stopped"] >= 0.4  # the silence after which a turn is over
    assert [*legs.values()] == sorted(legs.values())


async def test_an_answer_that_is_interrupted_was_played_until_then(spans: CapturedSpans) -> None:
    async with talk("Hello.", chat=FakeChat(script=two_texts)) as made:
        made.say(HELLO)
        await made.socket.until("response.output_audio.delta")
        made.say(HELLO)
        truncated = await made.socket.until("conversation.item.truncated")

    played = first(spans, "client playback")
    turn = first(spans, "turn org/fake")
    assert played.parent is not None
    assert turn.context is not None
    assert played.parent.span_id == turn.context.span_id
    assert [*events(played)] == ["playback.started", "playback.stopped"]
    assert played.attributes is not None
    assert played.attributes["mlx.playback.played"] == truncated["audio_end_ms"] / 1000


async def test_an_answer_that_was_played_has_its_end(spans: CapturedSpans, clock: list[float]) -> None:
    async with talk("Hello.") as made:
        made.say(HELLO)
        await made.socket.until("response.done")
        clock[0] += 60
        made.say(HELLO)
        await made.socket.until("response.done")

    assert len(prompt(made.answers()[-1])) == 3
    assert [*events(first(spans, "client playback"))] == ["playback.started", "playback.ended"]
