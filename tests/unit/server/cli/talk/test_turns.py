"""Turns of a spoken conversation: interruption, echo, what is drawn."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from server.cli.talk.ducking import Ducking
from server.cli.talk.screen import Screen
from server.cli.talk.turns import Talk, Turn
from tests.unit.server.cli.talk.conversing import answer

QUIET = np.full(960, 300, "<i2").tobytes()
LOUD = np.full(960, 6_000, "<i2").tobytes()
SILENCE = bytes(len(QUIET))


class Sent:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def send(self, type: str, **fields: Any) -> None:
        self.events.append({"type": type, **fields})


class SlowSpeaker:
    """Plays only as far as the test says."""

    def __init__(self) -> None:
        self.played = 0.0
        self.idle = False

    def begin(self) -> None:
        self.played = 0.0

    def add(self, pcm: bytes) -> None: ...

    def position(self) -> float:
        return self.played

    def stop(self) -> float:
        return self.played

    def close(self) -> None: ...


class Held:
    """A conversation with what it sends, plays and shows."""

    def __init__(self) -> None:
        self.sent, self.speaker = Sent(), SlowSpeaker()
        self.shown: list[Turn] = []
        self.talk = Talk(session=self.sent, speaker=self.speaker, shown=self.shown.append)

    def take(self, *events: dict[str, Any]) -> None:
        for event in events:
            self.talk.take(event)


@pytest.fixture
def held() -> Held:
    return Held()


def test_speech_of_the_person_cuts_an_answer_at_the_last_word_that_was_heard(held: Held) -> None:
    held.take(*answer())
    held.speaker.played = 0.31
    held.take({"type": "input_audio_buffer.speech_started", "item_id": "item_u2", "audio_start_ms": 0})

    (cut,) = held.shown
    assert (cut.interrupted, cut.heard) == (True, "Paris, it")
    assert held.sent.events == [
        {"type": "conversation.item.truncate", "item_id": "item_a1", "content_index": 0, "audio_end_ms": 310}
    ], "the server had finished, so there is nothing to cancel"
    assert held.talk.answer is None


def test_ctrl_c_cancels_an_answer_that_is_generated_and_ends_between_answers(held: Held) -> None:
    held.take(*answer()[:-1])
    held.speaker.played = 0.2

    assert held.talk.interrupt()
    assert [event["type"] for event in held.sent.events] == ["response.cancel", "conversation.item.truncate"]
    held.take(*answer(status="cancelled")[-1:])
    assert not held.talk.interrupt()
    assert [turn.heard for turn in held.shown] == ["Paris"]


def test_an_answer_ends_when_it_was_played(held: Held) -> None:
    held.take(*answer())
    assert held.shown == []
    held.speaker.idle = True
    held.talk.tick()

    assert [(turn.heard, turn.interrupted) for turn in held.shown] == [("Paris, it is.", False)]


def test_a_growing_transcript_is_replaced_by_the_final_one(held: Held) -> None:
    kind = "conversation.item.input_audio_transcription"
    held.take(
        {"type": "input_audio_buffer.speech_started", "item_id": "u1", "audio_start_ms": 0},
        {"type": f"{kind}.delta", "item_id": "u1", "delta": "What is the cap"},
    )
    assert held.talk.said is not None
    assert held.talk.said.text == "What is the cap"
    held.take({"type": f"{kind}.completed", "item_id": "u1", "transcript": "What is the capital?"})
    held.speaker.idle = True
    held.take(*answer())

    assert [turn.heard for turn in held.shown] == ["What is the capital?", "Paris, it is."]


def test_an_error_is_noticed_and_the_conversation_goes_on(held: Held) -> None:
    held.take({"type": "error", "error": {"type": "server_error", "message": "try again"}}, *answer())

    assert held.talk.notice == "try again"
    assert held.talk.answer is not None


def test_echo_becomes_silence_while_an_answer_sounds() -> None:
    ducking = Ducking()
    assert ducking.passed(QUIET) == QUIET
    ducking.on = True
    assert b"".join(ducking.passed(QUIET) for _ in range(4)) == 3 * SILENCE, "one piece is held back"
    assert ducking.passed(LOUD) == QUIET + LOUD, "so that a word keeps its beginning"
    assert ducking.passed(QUIET) == QUIET, "a pause within a word"
    ducking.on = False
    assert ducking.passed(QUIET) == QUIET


def test_words_light_up_on_a_terminal(held: Held) -> None:
    out = io.StringIO()
    held.take(*answer())
    held.speaker.played = 0.25
    with Screen(Console(file=out, force_terminal=True, width=60), "talker") as screen:
        screen.update(held.talk)

    drawn = out.getvalue()
    assert "\x1b[7;39mit" in drawn or "\x1b[7mit" in drawn, "the word that is said"
    assert "\x1b[2m is." in drawn, "what is yet to come"
