"""Several speakers in one request: one file or stream, one clock, and the speaker on every word and viseme."""

from __future__ import annotations

import base64
from itertools import groupby, pairwise
from typing import Any

import pytest
from litestar import Litestar

from providers.speech.turns import TURN_REST
from providers.speech.types import SpeechAccepted, SpeechFinished, SpeechPiece, Unspoken
from tests.unit.server.api.speech.speaking import FakeSpeech, echoing, piece, speak, speaking

RATE = 24_000
TURNS = [
    {"speaker": "A", "text": "Hello there. How are you?"},
    {"speaker": "B", "text": "Hello, A."},
    {"speaker": "C", "text": "You."},
]
SPEAKERS = {"A": {"voice": "am_michael"}, "B": {"voice": {"id": "bf_emma"}, "speed": 2}}


@pytest.fixture
async def app() -> Litestar:
    return await echoing()


async def said(app: Litestar, **fields: Any) -> dict[str, Any]:
    answer = await speak(
        app, **{"input": TURNS, "speakers": SPEAKERS, "include_visemes": True, "response_format": "pcm", **fields}
    )
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json
    return body


async def test_words_have_their_speaker_and_offsets_within_the_text_of_the_turn(app: Litestar) -> None:
    body = await said(app)

    assert [(word["speaker"], word["input_index"], word["text"]) for word in body["words"]] == [
        ("A", 0, "Hello"),
        ("A", 0, "there"),
        ("A", 0, "How"),
        ("A", 0, "are"),
        ("A", 0, "you"),
        ("B", 1, "Hello"),
        ("B", 1, "A"),
        ("C", 2, "You"),
    ]
    for word in body["words"]:
        text = TURNS[word["input_index"]]["text"]
        assert text[word["start_char"] : word["end_char"]] == word["text"]


async def test_turns_are_on_one_clock_with_a_pause_between_them(app: Litestar) -> None:
    body = await said(app)
    visemes = body["visemes"]

    assert visemes[0]["start_time"] == 0
    assert visemes[-1]["end_time"] == body["duration"] == len(base64.b64decode(body["audio"])) / 2 / RATE
    assert all(one["end_time"] == other["start_time"] for one, other in pairwise(visemes))
    assert [speaker for speaker, _ in groupby(viseme["speaker"] for viseme in visemes)] == ["A", "B", "C"]
    for one, other in pairwise(body["words"]):
        if one["speaker"] != other["speaker"]:
            assert other["start_time"] - one["end_time"] >= TURN_REST


async def test_each_speaker_has_a_voice_and_a_speed_and_the_others_those_of_the_request(app: Litestar) -> None:
    alone = [
        await said(app, input=turn["text"], speakers=None, **{"voice": "af_alloy", **SPEAKERS.get(turn["speaker"], {})})
        for turn in TURNS
    ]
    together = base64.b64decode((await said(app, voice="af_alloy"))["audio"])

    rest = bytes(2 * round(TURN_REST * RATE))
    assert together == rest.join(base64.b64decode(one["audio"]) for one in alone)


async def test_the_events_of_a_stream_are_those_of_the_whole(app: Litestar) -> None:
    whole = await said(app)
    answer = await speak(
        app, input=TURNS, speakers=SPEAKERS, include_visemes=True, response_format="pcm", stream_format="sse"
    )
    *deltas, done = answer.chunks

    assert [(delta.get("speaker"), delta.get("input_index")) for delta in deltas] == [
        ("A", 0),
        ("A", 0),
        ("B", 1),
        ("C", 2),
    ]
    assert [word for delta in deltas for word in delta["words"]] == whole["words"]
    assert [viseme for delta in deltas for viseme in delta["visemes"]] == whole["visemes"]
    assert done["usage"]["input_tokens"] == sum(len(turn["text"]) for turn in TURNS)


async def test_headtts_arrays_have_the_stretches_of_equal_words_in_different_turns(app: Litestar) -> None:
    turns = [{"speaker": "A", "text": "Yes"}, {"speaker": "B", "text": "Yes"}]
    body = await said(app, input=turns, speakers=None, timing_format="headtts")
    assert body["words"] == body["subtitles"] == ["Yes", "Yes"]


async def test_a_text_without_turns_has_no_speaker(app: Litestar) -> None:
    body = await said(app, input="Hello.", speakers=None)
    assert "speaker" not in body["words"][0]
    assert "input_index" not in body["words"][0]
    assert "speaker" not in body["visemes"][0]


async def test_what_is_not_said_is_named_with_its_turn() -> None:
    async def script(_: object) -> Any:
        word = Unspoken("東京", 4, 6, 1)
        yield SpeechAccepted(1, 8, [word])
        spoken = piece()
        yield SpeechPiece(spoken.text, spoken.audio, spoken.phonemes, spoken.words, 0.1, turn=0)
        yield SpeechFinished(12_000, 0.1, [word])

    answer = await speak(speaking(FakeSpeech(script=script)), input=TURNS, include_visemes=True)
    assert answer.json["unspoken"] == [{"text": "東京", "start_char": 4, "end_char": 6, "input_index": 1}]
    assert (await speak(speaking(FakeSpeech(script=script)), input=TURNS)).headers["x-unspoken"] == "1:4-6"
