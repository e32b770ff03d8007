"""Speech in chat with the embedded models: the official SDKs, the examples, and one clock for text, sound and mouth."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from server.api.spoken.stretches import StretchCutter, clauses
from tests.live.client import PATIENCE
from tests.live.harness import LiveServer
from tests.live.test_sdk_node import installed, node_and_npm

__all__ = ["installed"]

EXAMPLES = Path(__file__).parents[2] / "examples"
RATE = 24_000


def contiguous(visemes: list[dict[str, Any]], end: float) -> bool:
    """Whether the shapes follow each other from 0 to the end."""
    return (
        visemes[0]["start_time"] == 0
        and visemes[-1]["end_time"] == pytest.approx(end)
        and all(before["end_time"] == after["start_time"] for before, after in pairwise(visemes))
    )


@pytest.fixture(scope="module")
def answer(server: LiveServer) -> dict[str, Any]:
    """An answer that was streamed to the SDK, with what its chunks held."""
    client = openai.OpenAI(base_url=server.base_url, api_key="unused", timeout=PATIENCE)
    stream = client.chat.completions.create(
        model="any",
        messages=[{"role": "user", "content": "Tell me two facts about the city of Paris."}],
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "pcm16"},
        max_tokens=30,
        temperature=0,
        stream=True,
    )
    found: dict[str, Any] = {"transcript": "", "sound": b"", "words": [], "visemes": [], "starts": []}
    for chunk in stream:
        audio = chunk.choices[0].delta.audio if chunk.choices else None
        if audio is None:
            continue
        extra = audio.model_extra or {}
        found["id"] = audio.id
        found["transcript"] += audio.transcript or ""
        if audio.data:
            assert extra["start_sample"] == len(found["sound"]) // 2
            found["sound"] += base64.b64decode(audio.data)
        found["words"] += extra.get("words") or []
        found["visemes"] += extra.get("visemes") or []
        found["duration"] = extra.get("duration")
    return found


def test_text_sound_words_and_mouth_have_one_clock(answer: dict[str, Any]) -> None:
    seconds = len(answer["sound"]) / 2 / RATE
    assert answer["duration"] == pytest.approx(seconds)
    assert contiguous(answer["visemes"], seconds)
    assert len(answer["words"]) >= 10
    for word in answer["words"]:
        assert 0 <= word["start_time"] < word["end_time"] <= seconds
        assert answer["transcript"][word["start_char"] : word["end_char"]] == word["text"] != ""


def test_the_sound_is_what_the_speech_endpoint_says(server: LiveServer, answer: dict[str, Any]) -> None:
    cutter = StretchCutter()
    stretches = [*cutter.feed(answer["transcript"]), *cutter.finish()]
    assert len(stretches) > 1
    sound = b""
    for stretch in stretches:
        body = {"model": "any", "input": stretch.text, "voice": "alloy", "response_format": "pcm", "stream": False}
        sound += httpx.post(f"{server.base_url}/audio/speech", json=body, timeout=PATIENCE).content
    assert answer["sound"] == sound


def test_a_cut_at_37_percent_leaves_the_words_that_were_heard(server: LiveServer, answer: dict[str, Any]) -> None:
    played = 0.37 * answer["duration"]
    heard = [word for word in answer["words"] if word["end_time"] <= played]
    assert 0 < len(heard) < len(answer["words"])

    url = f"{server.base_url}/chat/completions/{answer['id']}/heard"
    report = httpx.post(url, json={"played_ms": 1000 * played}, timeout=PATIENCE).json()

    assert report["transcript"] == answer["transcript"][: heard[-1]["end_char"]]
    assert report["complete"] is False


def test_the_next_turn_reads_the_cut_answer_from_the_prefix_cache(server: LiveServer, answer: dict[str, Any]) -> None:
    first = {"role": "user", "content": "Tell me two facts about the city of Paris."}
    spoken = {"role": "assistant", "audio": {"id": answer["id"], "played_ms": 370 * answer["duration"]}}
    body = {"model": "any", "messages": [first, spoken, {"role": "user", "content": "Go on."}], "max_tokens": 1}
    reply = httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=PATIENCE).json()
    usage = reply["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 0.4 * usage["prompt_tokens"]


def test_the_python_example_holds_a_debate(server: LiveServer, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "avatar_debate.py"), "--url", server.base_url, "--max-tokens", "20"]
    ran = subprocess.run(
        [*command, "--output", str(tmp_path), "Cats are better than dogs"],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    turns = json.loads((tmp_path / "debate.json").read_text())["turns"]
    assert [turn["name"] for turn in turns] == ["Ada", "Ben"]
    assert all(turn["text"] and turn["words"] for turn in turns)
    with wave.open(str(tmp_path / "debate.wav")) as file:
        seconds = file.getnframes() / RATE
    ends = [*(turn["starts"] for turn in turns[1:]), seconds]
    assert all(contiguous(turn["visemes"], end - turn["starts"]) for turn, end in zip(turns, ends, strict=True))


def test_the_javascript_example_holds_a_debate(server: LiveServer, installed: Path) -> None:
    example = installed / "avatar-debate.mjs"
    example.write_bytes((EXAMPLES / "avatar-debate.mjs").read_bytes())
    ran = subprocess.run(
        [node_and_npm()[0], str(example), server.base_url, "Cats are better than dogs", "20"],
        cwd=installed, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    debate = json.loads(ran.stdout)
    assert [turn["name"] for turn in debate["turns"]] == ["Ada", "Ben"]
    for piece in debate["pieces"]:
        assert piece["audio"] > 0
        assert len(piece["words"]) == len(piece["wtimes"]) == len(piece["wdurations"])
        assert len(piece["visemes"]) == len(piece["vtimes"]) == len(piece["vdurations"]) > 0


@pytest.mark.timeout(600)
def test_a_turn_of_bounded_time_ends_with_a_sentence_within_it(server: LiveServer) -> None:
    """A model that writes at length, and two bounds: a longer time says more of the same text."""
    client = openai.OpenAI(base_url=server.base_url, api_key="unused", timeout=PATIENCE)
    said, most = "", 200
    for seconds in (3, 10):
        stream = client.chat.completions.create(
            model="any",
            messages=[{"role": "user", "content": "Why is the sky blue?"}],
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "pcm16"},
            max_tokens=most,
            temperature=0,
            stream=True,
            extra_body={"max_spoken_seconds": seconds},
        )
        text, words, end = "", [], None
        for chunk in stream:
            choice = chunk.choices[0]
            text += (choice.delta.audio and choice.delta.audio.transcript) or ""
            words += ((choice.delta.audio and choice.delta.audio.model_extra) or {}).get("words") or []
            end = chunk if choice.finish_reason else end

        assert end is not None
        assert end.choices[0].finish_reason == "length"
        assert end.usage is not None
        assert end.usage.completion_tokens < most
        assert text.startswith(said)
        assert text.rstrip()[-1] in ".!?:,;"
        assert words[-1]["end_char"] == len(text.rstrip()) - 1
        if len([*clauses(text)]) > 1:  # one clause is said in any case
            assert words[-1]["end_time"] <= seconds
        said = text
    assert len([*clauses(said)]) > 1
