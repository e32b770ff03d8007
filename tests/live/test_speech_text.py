"""What is said of real texts, over HTTP: every word points at what was written, and nothing vanishes."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest

from tests.live.client import PATIENCE, assert_error
from tests.live.harness import LiveServer

RATE = 24_000
WRITTEN = (
    'It was $100 after 9:30PM, about 40–60°C — "wow," she said… Dr. O’Neill\'s e-mail: a.b@c.org (v1.2.3). '
    "See [the docs](https://example.com/x) and **bold** 😀 words."
)


def post(server: LiveServer, text: str, **fields: Any) -> httpx.Response:
    body = {"model": "any", "voice": "af_heart", "input": text, "response_format": "wav", **fields}
    return httpx.post(f"{server.url}/v1/audio/speech", json=body, timeout=PATIENCE)


def timed(server: LiveServer, text: str, **fields: Any) -> dict[str, Any]:
    answer = post(server, text, include_visemes=True, **fields)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def words(said: dict[str, Any]) -> str:
    return " ".join(word["word"] for word in said["words"])


def sounds(said: dict[str, Any]) -> str:
    return "".join(viseme["phoneme"] for viseme in said["visemes"])


def test_every_word_has_its_stretch_of_the_text_and_its_time(voice: LiveServer) -> None:
    said = timed(voice, WRITTEN)

    stretches = [(word["start_char"], word["end_char"]) for word in said["words"]]
    assert [word["text"] for word in said["words"]] == [WRITTEN[start:end] for start, end in stretches]
    assert all(one == other or one[1] <= other[0] for one, other in pairwise(stretches))
    by_text = {word["text"]: word["word"] for word in said["words"]}
    assert by_text["$100"] == "dollars"
    assert by_text["Dr."] == "Doctor"
    assert by_text["v1.2.3"] == "three"
    assert by_text["docs"] == "docs"
    assert all(one["end_time"] <= other["start_time"] for one, other in pairwise(said["words"]))
    assert all(one["end_time"] == other["start_time"] for one, other in pairwise(said["visemes"]))
    assert said["visemes"][-1]["end_time"] == said["duration"]
    assert "unspoken" not in said


def test_arrays_for_talking_head_have_subtitles_that_are_the_text(voice: LiveServer) -> None:
    said = post(voice, "It costs $5 today.", timing_format="headtts").json()

    assert said["words"] == ["It", "costs", "five", "dollars", "today"]
    assert said["subtitles"] == ["It", "costs", "$5", "", "today"]


@pytest.mark.parametrize(
    ("text", "read_aloud"),
    [
        ("[Alice]: Hello there\n[Bob]: Good morning", "Alice Hello there Bob Good morning"),
        ("if x<y and y>z then stop", "if x less than y and y greater than z then stop"),
        ("<<come here>> [Fireball] List<int>", "come here Fireball List of int"),
        ("#1, ~5 & 3 × 4", "number one about five and three times four"),
        ("\x1b[1mBold\x1b[0m text", "Bold text"),
    ],
)
def test_text_that_only_looks_like_marks_is_said(voice: LiveServer, text: str, read_aloud: str) -> None:
    assert words(timed(voice, text)) == read_aloud


def test_sounds_are_given_by_marks_by_the_request_and_by_the_server(voice: LiveServer) -> None:
    said = timed(voice, "[Siobhan](/ʃəvˈɔn/) of Worcester met Xqz.", lexicon={"xqz": "zˈu"})

    assert words(said) == "Siobhan of Worcester met Xqz"
    for phonemes in ("ʃəvɔn", "wʊstəɹ", "zu"):
        assert phonemes in sounds(said)
    wrong = post(voice, "[Siobhan](/ʃ3/) is here", include_visemes=True)
    assert_error(wrong, 400, "invalid_request_error", param="input")
    assert "'3' at position 12" in wrong.json()["error"]["message"]


@pytest.mark.parametrize(
    "text",
    ["Ready? [pause:1.5s] Go now!", '<speak>Ready? <break time="1500ms"/> <sub alias="Go now">X</sub>!</speak>'],
)
def test_a_pause_is_silence_in_the_visemes_and_between_the_words(voice: LiveServer, text: str) -> None:
    said = timed(voice, text)

    assert words(said) == "Ready Go now"
    ready, go, _ = said["words"]
    assert 1.4 < go["start_time"] - ready["end_time"] < 1.8
    silent = [viseme for viseme in said["visemes"] if not viseme["phoneme"]]
    assert max(viseme["end_time"] - viseme["start_time"] for viseme in silent) >= 1.4
    assert said["visemes"][-1]["end_time"] == said["duration"]


def test_what_is_not_supported_in_ssml_is_refused_by_name(voice: LiveServer) -> None:
    answer = post(voice, '<speak>A <prosody rate="fast">b</prosody></speak>')

    assert_error(answer, 400, "invalid_request_error", param="input")
    assert "<prosody> at position 9 is not supported" in answer.json()["error"]["message"]


def test_what_the_voice_cannot_say_is_refused_or_named(voice: LiveServer) -> None:
    refused = post(voice, "Привет, мир")
    assert_error(refused, 400, "invalid_request_error", param="input")
    assert "Cyrillic letters: 'Привет' at position 0" in refused.json()["error"]["message"]

    text = "The word 東京 means Tokyo"
    said = timed(voice, text)
    assert words(said) == "The word means Tokyo"
    assert said["unspoken"] == [{"text": "東京", "start_char": 9, "end_char": 11}]
    assert post(voice, text).headers["x-unspoken"] == "9-11"


def test_first_and_last_words_are_as_loud_as_those_between(voice: LiveServer) -> None:
    text = "We have come to an hour in which machines stand ready to change how we work, learn and live."
    said = timed(voice, text, response_format="pcm")
    sound = np.frombuffer(base64.b64decode(said["audio"]), "<i2").astype(float)

    def loudness(words: list[dict[str, Any]]) -> float:
        start, end = (round(time * RATE) for time in (words[0]["start_time"], words[-1]["end_time"]))
        return float(np.sqrt(np.mean(np.square(sound[start:end]))))

    first, middle, last = (loudness(said["words"][part]) for part in (slice(2), slice(2, -2), slice(-2, None)))
    assert first > 0.4 * middle
    assert last > 0.25 * middle
    assert np.abs(sound[:24]).max() < 300
    assert np.abs(sound[-24:]).max() < 300
