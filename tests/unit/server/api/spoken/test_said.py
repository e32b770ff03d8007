"""Kept answers, by the id of their audio and by that of their completion."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from unittest.mock import Mock

from providers.chat.types import Accepted, Finished, TextDelta, Usage
from providers.speech.types import SpeechPiece, WordSpan
from server.api.spoken.audio import recorded
from server.api.spoken.said import KEPT_ANSWERS, KEPT_BYTES, KEPT_SECONDS, SaidAnswer, SaidAnswers
from server.api.spoken.speaking import SpeakingEvent, SpokenPiece


def kept(answers: SaidAnswers, id: str, completion_id: str) -> SaidAnswer:
    answer = answers.new(id, completion_id, Mock())
    answers.keep(answer)
    return answer


def test_an_answer_is_found_by_its_audio_and_the_first_one_by_its_completion() -> None:
    answers = SaidAnswers()
    first, second = kept(answers, "audio_1", "chatcmpl_1"), kept(answers, "audio_2", "chatcmpl_1")
    assert answers.find("audio_1") is answers.find("chatcmpl_1") is first
    assert answers.find("audio_2") is second
    assert answers.find("audio_3") is None


def test_the_oldest_answer_makes_room() -> None:
    answers = SaidAnswers()
    for number in range(KEPT_ANSWERS + 1):
        kept(answers, f"audio_{number}", f"resp_{number}")
    assert answers.find("audio_0") is answers.find("resp_0") is None
    assert answers.find("resp_1") is answers.find("audio_1") is not None


def test_answers_that_grew_are_bounded_together() -> None:
    answers = SaidAnswers()
    for number in range(4):
        kept(answers, f"audio_{number}", f"resp_{number}").text = "x" * (KEPT_BYTES // 10)
    kept(answers, "audio_4", "resp_4")
    assert [answers.find(f"audio_{number}") is not None for number in range(5)] == [False, False, True, True, True]


def test_an_answer_expires() -> None:
    now = 0.0
    answers = SaidAnswers(lambda: now)
    kept(answers, "audio_1", "resp_1")
    now = KEPT_SECONDS
    assert answers.find("audio_1") is answers.find("resp_1") is None


async def events() -> AsyncGenerator[SpeakingEvent, None]:
    words = [WordSpan("one", 0, 12_000, "One", 0, 3), WordSpan("two", 12_000, 24_000, "two", 4, 7)]
    yield Accepted(1, 0)
    yield TextDelta("One two. Three", tokens=4)
    yield SpokenPiece(SpeechPiece("One two.", bytes(48_000), [], words, 0.0), 0)
    yield Finished("stop", Usage(1, 4, 0, 0), 0.0, 0.0)


async def test_of_an_answer_that_is_interrupted_only_what_was_spoken_was_heard() -> None:
    answers = SaidAnswers()
    said = kept(answers, "audio_1", "resp_1")
    async with aclosing(recorded(events(), [said], answers)) as source:
        async for event in source:
            if isinstance(event, SpokenPiece):
                break

    assert (said.complete, said.heard()) == (True, "One two. Three")  # no report
    said.played_ms = 5000
    assert (said.complete, said.heard()) == (False, "One two")
    said.played_ms = 0
    assert said.heard() == ""


async def test_an_answer_that_was_played_to_its_end_was_heard() -> None:
    answers = SaidAnswers()
    said = kept(answers, "audio_1", "resp_1")
    async with aclosing(recorded(events(), [said], answers)) as source:
        assert [event async for event in source]

    said.played_ms = 1000
    assert (said.complete, said.heard()) == (True, "One two. Three")
    said.played_ms = 700
    assert (said.complete, said.heard()) == (False, "One")
