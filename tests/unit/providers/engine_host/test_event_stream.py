"""The events that a reader gets, whenever it reads."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.chat.types import (
    Accepted,
    Finished,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from providers.engine_host.event_stream import TextMailbox
from providers.errors import EngineCrashed


def finished(index: int = 0) -> Finished:
    return Finished("stop", Usage(1, 1), 0.0, 0.0, index)


def stream(answers: int = 1) -> TextMailbox:
    return TextMailbox(lambda unfinished: None, answers)


async def read(events: TextMailbox) -> list[GenerationEvent]:
    return [event async for event in events]


async def test_a_reader_that_keeps_up_gets_every_event_as_it_was_sent():
    events = stream()
    for event in (Accepted(1, 0), TextDelta("a"), TextDelta("b", 2), finished()):
        events.put(event)
        assert await anext(events) == event
    assert await read(events) == []


async def test_waiting_text_and_its_log_probabilities_become_one_delta():
    events = stream()
    a, b = TokenLogprob("a", b"a", -0.5), TokenLogprob("b", b"b", -0.25)
    for event in (TextDelta("a", logprobs=[a]), TextDelta("", 1), TextDelta("b", 2, logprobs=[b]), finished()):
        events.put(event)
    assert await read(events) == [TextDelta("ab", 4, 0, [a, b]), finished()]


async def test_thinking_text_and_calls_stay_apart_and_in_order():
    events = stream()
    opening = ToolCallDelta(0, id="c1", name="look")
    second = ToolCallDelta(1, id="c2", name="hear")
    for event in (
        ReasoningDelta("hm"),
        ReasoningDelta("m"),
        TextDelta("so"),
        opening,
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ":1}"),
        second,
        finished(),
    ):
        events.put(event)
    assert await read(events) == [
        ReasoningDelta("hmm", 2),
        TextDelta("so"),
        opening,
        ToolCallDelta(0, '{"a":1}', tokens=2),
        second,
        finished(),
    ]


async def test_an_error_comes_after_the_events_before_it():
    events = stream()
    events.put(TextDelta("almost"))
    events.fail(EngineCrashed("died"))
    events.put(TextDelta("ghost"))
    assert await anext(events) == TextDelta("almost")
    with pytest.raises(EngineCrashed):
        await anext(events)


async def test_closing_reports_once_whether_the_engine_still_works():
    told: list[bool] = []
    half, whole = TextMailbox(told.append, 2), TextMailbox(told.append, 1)
    for events in (half, whole):
        events.put(finished())
        events.close()
        events.close()
    assert told == [True, False]


_delta = st.one_of(
    st.builds(TextDelta, st.text(max_size=3), st.integers(0, 3), st.integers(0, 2)),
    st.builds(ReasoningDelta, st.text(max_size=3), st.integers(0, 3), st.integers(0, 2)),
    st.builds(ToolCallDelta, st.integers(0, 1), st.text(max_size=3), tokens=st.integers(0, 3), index=st.integers(0, 2)),
)


def flat(events: list[GenerationEvent], index: int) -> list[tuple[object, str]]:
    """One output as characters, each with the kind of its delta."""
    return [
        ((type(event), getattr(event, "call", None)), character)
        for event in events
        if not isinstance(event, (Accepted, Finished)) and event.index == index
        for character in (event.arguments if isinstance(event, ToolCallDelta) else event.text)
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_delta, st.booleans()), max_size=60))
def test_no_character_is_lost_or_moved_however_the_reader_lags(steps: list[tuple[GenerationEvent, bool]]):
    async def play() -> list[GenerationEvent]:
        events = stream(answers=3)
        got: list[GenerationEvent] = []
        for event, reads_now in steps:
            events.put(event)
            if reads_now:
                got.append(await anext(events))
        for index in range(3):
            events.put(finished(index))
        return got + await read(events)

    got, sent = asyncio.run(play()), [event for event, _ in steps]
    for index in range(3):
        assert flat(got, index) == flat(sent, index)
        last = max(place for place, event in enumerate(got) if getattr(event, "index", None) == index)
        assert got[last] == finished(index)
    assert sum(getattr(event, "tokens", 0) for event in got) == sum(event.tokens for event in sent)


async def test_a_reader_that_never_comes_leaves_a_few_events_and_no_more():
    events = stream(answers=8)
    for _ in range(1000):
        for index in range(8):
            events.put(TextDelta("x", index=index))
    for index in range(8):
        events.put(finished(index))
    assert len(await read(events)) == 16
