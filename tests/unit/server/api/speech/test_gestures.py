"""Gestures: on the clock of the words, equal for equal seeds, however the audio is cut, and as frequent as people's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar

from contracts.speech import SpeechGesture
from providers.echo.speech import spoken
from providers.speech.types import SAMPLE_RATE, PhonemeSpan, SpeechPiece, SpeechRequest, SpeechTurn
from server.api.speech.gestures import LISTENING_BLINKS, SPEAKING_BLINKS, Gestures
from tests.unit.server.api.speech.speaking import echoing, speak

SENTENCE = "Nobody could have known this before, not even you. Did anybody really ask them? Listen! "
VOICES = [("af_heart", 1.0)]
TURNS = [SpeechTurn(SENTENCE * 3, VOICES), SpeechTurn("Yes, of course. Why not?", VOICES), SpeechTurn("Hi.", VOICES)]


def pieces(text: str = SENTENCE * 4, turns: Sequence[SpeechTurn] = ()) -> list[SpeechPiece]:
    return list(spoken(SpeechRequest(id="r", text=text, voices=VOICES, turns=list(turns))))


def made(spoken: Sequence[SpeechPiece], seed: int = 0, speakers: Sequence[str] = ()) -> list[SpeechGesture]:
    gestures = Gestures(seed, speakers)
    return [gesture for piece in spoken for gesture in gestures.of(piece)]


def halves(piece: SpeechPiece) -> list[SpeechPiece]:
    """A piece as two that are cut before its middle word."""
    at = len(piece.words) // 2
    if not at:
        return [piece]
    cut = piece.words[at].start
    place = 0
    for word in piece.words[: at + 1]:
        place = piece.text.index(word.word, place)
    before = [span for span in piece.phonemes if span.start < cut]
    after = [span for span in piece.phonemes if span.start >= cut]
    return [
        SpeechPiece(piece.text[:place].strip(), b"", before, piece.words[:at], 0.1, turn=piece.turn),
        SpeechPiece(piece.text[place:], b"", after, piece.words[at:], 0.1, turn=piece.turn),
    ]


@pytest.fixture
async def app() -> Litestar:
    return await echoing()


def test_equal_seeds_give_equal_gestures_and_others_do_not() -> None:
    assert made(pieces(), 7) == made(pieces(), 7)
    assert made(pieces(), 7) != made(pieces(), 8)


def shown(gestures: Sequence[SpeechGesture]) -> list[Any]:
    return sorted((gesture.start_time, gesture.gesture, gesture.role, gesture.speaker or "") for gesture in gestures)


@given(st.integers(0, 1000))
def test_gestures_that_words_cause_do_not_depend_on_how_the_audio_is_cut(seed: int) -> None:
    whole = pieces(turns=TURNS)
    parts = [part for piece in whole for part in halves(piece)]
    names = ["A", "B", "A"]
    assert shown(made(parts, seed, names)) == shown(made(whole, seed, names))


def test_gestures_are_in_order_and_begin_within_the_speech() -> None:
    spoken = pieces()
    gestures = made(spoken, 3)
    length = spoken[-1].phonemes[-1].end / SAMPLE_RATE

    assert all(one.start_time <= other.start_time for one, other in pairwise(gestures))
    assert all(0 <= gesture.start_time < length and gesture.start_time < gesture.end_time for gesture in gestures)
    assert all(0 < gesture.intensity <= 1 for gesture in gestures)
    assert {gesture.gesture for gesture in gestures} == {"blink", "browRaise", "gazeAway", "headNod", "headTilt"}


def test_a_question_raises_the_brows_and_an_exclamation_nods() -> None:
    asked = [gesture for gesture in made(pieces("Did you ask them?")) if gesture.role == "speaker"]
    called = [gesture for gesture in made(pieces("Now listen!")) if gesture.role == "speaker"]
    assert {"browRaise", "headTilt"} <= {gesture.gesture for gesture in asked}
    assert {"browRaise", "headNod"} <= {gesture.gesture for gesture in called}


def test_people_blink_as_often_as_people_do() -> None:
    minutes = 20
    silence = [
        SpeechPiece("", b"", [PhonemeSpan("", at * SAMPLE_RATE, (at + 5) * SAMPLE_RATE)], [], 0.0)
        for at in range(0, minutes * 60, 5)
    ]
    blinks = [gesture for gesture in made(silence, 1) if gesture.gesture == "blink"]
    for role, mean in (("speaker", SPEAKING_BLINKS), ("listener", LISTENING_BLINKS)):
        count = sum(blink.role == role for blink in blinks)
        assert count / minutes == pytest.approx(60 / mean, rel=0.15)


def test_with_several_speakers_each_has_a_face_that_speaks_and_listens() -> None:
    gestures = made(pieces(turns=TURNS), 2, ["A", "B", "A"])
    nods = [gesture for gesture in gestures if gesture.gesture == "headNod"]

    assert {gesture.speaker for gesture in gestures} == {"A", "B"}
    assert {(nod.role, nod.speaker) for nod in nods} >= {("listener", "B"), ("speaker", "A")}


async def test_gestures_come_with_the_times_in_one_object_and_in_events(app: Litestar) -> None:
    fields: dict[str, Any] = {"input": SENTENCE, "include_visemes": True, "include_gestures": True, "gesture_seed": 5}
    whole = (await speak(app, **fields)).json
    *deltas, _ = (await speak(app, **fields, stream_format="sse")).chunks

    assert whole["gestures"]
    assert "speaker" not in whole["gestures"][0]
    assert [gesture for delta in deltas for gesture in delta["gestures"]] == whole["gestures"]
    assert (await speak(app, **{**fields, "gesture_seed": 6})).json["gestures"] != whole["gestures"]
    assert "gestures" not in (await speak(app, input=SENTENCE, include_visemes=True)).json
