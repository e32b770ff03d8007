"""The end of service: in which order, and how often."""

from __future__ import annotations

import asyncio

from server.drain import Drain


async def settle() -> None:
    """Let timers of zero seconds end."""
    for _ in range(3):
        await asyncio.sleep(0)


def drain(events: list[str], grace_period: float = 0.0) -> Drain:
    made = Drain(grace_period, lambda: events.append("begun"))
    made.when_expired(lambda: events.append("expired"))
    return made


def test_before_the_end_nothing_is_over() -> None:
    made = Drain(0.0, lambda: None)
    assert (made.begun, made.expired) == (False, False)


async def test_running_answers_end_when_the_grace_period_does() -> None:
    events: list[str] = []
    made = drain(events)
    made.begin()
    assert (events, made.begun, made.expired) == (["begun"], True, False)
    await settle()
    assert (events, made.begun, made.expired) == (["begun", "expired"], True, True)


async def test_during_the_grace_period_they_go_on() -> None:
    events: list[str] = []
    made = drain(events, grace_period=60.0)
    made.begin()
    await settle()
    assert (events, made.expired) == (["begun"], False)
    made.cancel()


async def test_it_begins_once_and_expires_once() -> None:
    events: list[str] = []
    made = drain(events)
    for _ in range(2):
        made.begin()
    for _ in range(2):
        made.expire()
    await settle()
    assert events == ["begun", "expired"]


async def test_an_end_without_grace_stops_admission_first() -> None:
    events: list[str] = []
    drain(events, grace_period=60.0).expire()
    assert events == ["begun", "expired"]


async def test_an_end_that_no_answer_waits_for_can_be_cancelled() -> None:
    events: list[str] = []
    made = drain(events)
    made.begin()
    made.cancel()
    await settle()
    assert (events, made.expired) == (["begun"], False)


def test_nothing_is_to_cancel_before_it_begins() -> None:
    Drain(0.0, lambda: None).cancel()


async def test_an_answer_that_has_ended_is_not_called() -> None:
    events: list[str] = []
    made = Drain(0.0, lambda: None)
    forget = made.when_expired(lambda: events.append("gone"))
    made.when_expired(lambda: events.append("there"))
    forget()
    made.expire()
    assert events == ["there"]


async def test_an_answer_that_comes_after_the_end_is_called_too() -> None:
    events: list[str] = []
    made = Drain(60.0, lambda: None)
    made.expire()
    made.when_expired(lambda: events.append("there"))
    made.when_expired(lambda: events.append("gone"))()
    assert events == [], "its caller enters what it ends first"
    await settle()
    assert events == ["there"]
