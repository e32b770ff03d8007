"""Text, then its speech, on one clock; and nothing runs on after the end."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from providers.chat.types import (
    Accepted,
    Finished,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from providers.echo.speech import spoken
from providers.errors import InvalidRequest
from providers.speech.types import SAMPLE_RATE, SpeechEvent, SpeechFinished, SpeechPiece, SpeechRequest
from server.api.spoken.speaking import SpeakingEvent, SpokenPiece, speaking

DONE = Finished("stop", Usage(5, 9), 0.1, 0.2)


class Chat:
    """A chat with a script; `closed` is whether its generator was closed."""

    def __init__(self, *events: GenerationEvent) -> None:
        self._events = events
        self.given = 0
        self.closed = False

    async def events(self) -> AsyncGenerator[GenerationEvent, None]:
        try:
            for event in self._events:
                self.given += 1
                yield event
        finally:
            self.closed = True


class Voice:
    """The echo's voice. `failing` is a text that it cannot speak."""

    def __init__(self, failing: str = "") -> None:
        self.said: list[str] = []
        self._failing = failing

    async def speak(self, text: str) -> AsyncGenerator[SpeechEvent, None]:
        self.said.append(text)
        if text == self._failing:
            raise InvalidRequest("input: cannot be spoken", param="input")
        for piece in spoken(SpeechRequest("r", text, [("af_heart", 1.0)])):
            yield piece


class Silent(Voice):
    """A voice that is done with each text before its time begins."""

    async def speak(self, text: str) -> AsyncGenerator[SpeechEvent, None]:
        yield SpeechFinished(0, 0.0)


def answer(*deltas: str, finished: Finished = DONE) -> Chat:
    return Chat(Accepted(5, 0), *(TextDelta(delta) for delta in deltas), finished)


async def events_of(chat: Chat, voice: Voice, *, max_seconds: float | None = None) -> list[SpeakingEvent]:
    async with aclosing(speaking(chat.events(), voice.speak, max_seconds=max_seconds)) as events:
        return [event async for event in events]


def text_of(events: Sequence[SpeakingEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_each_stretch_is_spoken_and_the_end_comes_last() -> None:
    voice = Voice()
    events = await events_of(answer("Cats are quiet ani", "mals. Dogs", " are loud."), voice)
    assert voice.said == ["Cats are quiet animals. ", "Dogs are loud."]
    assert isinstance(events[0], Accepted)
    assert events[-1] == DONE
    assert text_of(events) == "Cats are quiet animals. Dogs are loud."


async def test_the_pieces_follow_each_other_on_one_clock() -> None:
    events = await events_of(answer("Cats are quiet animals. Dogs are loud."), Voice())
    pieces = [event for event in events if isinstance(event, SpokenPiece)]
    at = 0
    for event in pieces:
        assert event.start == at == event.piece.phonemes[0].start
        at += len(event.piece.audio) // 2
        assert event.piece.phonemes[-1].end == at
        assert all(event.start <= word.start < word.end <= at for word in event.piece.words)
    assert [word.word for event in pieces for word in event.piece.words] == [
        "Cats",
        "are",
        "quiet",
        "animals",
        "Dogs",
        "are",
        "loud",
    ]


async def test_reasoning_and_calls_pass_and_are_not_spoken() -> None:
    voice = Voice()
    thought, call = ReasoningDelta("I should look it up first."), ToolCallDelta(0, "{}", "c1", "look")
    events = await events_of(Chat(Accepted(5, 0), thought, TextDelta("Let me look it up."), call, DONE), voice)
    assert voice.said == ["Let me look it up."]
    assert thought in events
    assert call in events


async def test_a_failure_of_the_voice_ends_the_chat() -> None:
    chat = answer("Cats are quiet animals. ", *("Dogs are loud animals. " for _ in range(500)))
    with pytest.raises(InvalidRequest):
        await events_of(chat, Voice(failing="Dogs are loud animals. "))
    assert chat.closed


async def test_closing_ends_both() -> None:
    chat, voice = answer(*("Cats are quiet animals. " for _ in range(500))), Voice()
    async with aclosing(speaking(chat.events(), voice.speak)) as events:
        async for event in events:
            if isinstance(event, SpokenPiece):
                break
    assert chat.closed
    assert len(voice.said) < 500


@pytest.mark.parametrize("sentences", [1, 2, 3])
async def test_a_turn_of_bounded_time_ends_with_a_sentence_within_it(sentences: int) -> None:
    text = "Cats are quiet animals. "
    whole = next(iter(spoken(SpeechRequest("r", text, [("af_heart", 1.0)])))).audio
    seconds = sentences * len(whole) / 2 / SAMPLE_RATE
    events = await events_of(answer(*[text] * 40), Voice(), max_seconds=seconds)
    assert text_of(events) == text * sentences
    audio = b"".join(event.piece.audio for event in events if isinstance(event, SpokenPiece))
    assert len(audio) / 2 / SAMPLE_RATE <= seconds
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.finish_reason == "length"
    assert finished.usage.prompt_tokens == 5


async def test_of_a_first_sentence_that_is_too_long_the_first_clause_is_spoken() -> None:
    chat = answer("Although cats are quiet, dogs are not. ", "And so on.")
    events = await events_of(chat, Voice(), max_seconds=0.1)
    assert text_of(events) == "Although cats are quiet, "
    assert any(isinstance(event, SpokenPiece) for event in events)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.finish_reason == "length"


@pytest.mark.parametrize(("clauses", "said"), [(1, 1), (2, 2), (2.5, 2), (3, 3)])
async def test_of_a_first_sentence_that_is_too_long_the_clauses_that_fit_are_spoken(clauses: float, said: int) -> None:
    clause = "cats are quiet animals, "
    whole = next(iter(spoken(SpeechRequest("r", clause, [("af_heart", 1.0)])))).audio
    seconds = clauses * len(whole) / 2 / SAMPLE_RATE
    events = await events_of(answer(clause * 5 + "and that is all of it. ", "And so on."), Voice(), max_seconds=seconds)
    assert text_of(events) == clause * said
    audio = b"".join(event.piece.audio for event in events if isinstance(event, SpokenPiece))
    assert len(audio) / 2 / SAMPLE_RATE <= seconds


@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
async def test_the_generation_of_a_bounded_turn_stops_when_it_has_far_more_text_than_time(speed: float) -> None:
    chat = answer(*("Cats are quiet animals. " for _ in range(500)))
    silent = Silent()
    async with aclosing(speaking(chat.events(), silent.speak, max_seconds=2, speed=speed)) as events:
        found = [event async for event in events]
    assert chat.closed
    assert 60 * speed <= sum(character.isalnum() for character in text_of(found)) <= 60 * speed + 40
    assert isinstance(found[-1], Finished)
    assert found[-1].finish_reason == "length"


async def test_the_first_sentence_is_read_to_its_end_however_long_it_is() -> None:
    sentence = f"{'quiet cats and loud dogs live here, ' * 8}and that is all. "
    chat = answer(*re.findall(r"\S+\s", sentence), *("Cats are quiet animals. " for _ in range(500)))
    events = await events_of(chat, Voice(), max_seconds=1)
    assert text_of(events) == "quiet cats and loud dogs live here, "
    assert chat.given < 500


async def test_a_turn_that_fits_its_time_ends_as_it_would_have_ended() -> None:
    events = await events_of(answer("Cats are quiet animals. ", "Dogs are loud."), Voice(), max_seconds=60)
    assert text_of(events) == "Cats are quiet animals. Dogs are loud."
    assert events[-1] == DONE


async def test_several_answers_have_a_clock_each() -> None:
    second = Finished("stop", Usage(5, 9), 0.1, 0.2, 1)
    chat = Chat(Accepted(5, 0), TextDelta("Cats are quiet."), TextDelta("Dogs are loud.", index=1), DONE, second)
    async with aclosing(speaking(chat.events(), Voice().speak, answers=2)) as events:
        pieces = [event async for event in events if isinstance(event, SpokenPiece)]
    assert [(event.index, event.start) for event in pieces] == [(0, 0), (1, 0)]
    assert all(isinstance(event.piece, SpeechPiece) for event in pieces)
