"""Spoken conversations by the command and by the examples, with the embedded models and a recording."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

from tests.live.harness import COMMAND, READY_SECONDS, LiveServer
from tests.live.said import said
from tests.live.test_sdk_node import installed, node_and_npm

__all__ = ["installed"]

EXAMPLES = Path(__file__).parents[2] / "examples" / "realtime"
RATE = 24_000


def ran(command: list[str], cwd: Path) -> str:
    """Standard output of a command that succeeds."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=READY_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def seconds(path: Path) -> float:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return file.getnframes() / RATE


def test_the_command_holds_a_turn_by_files(server: LiveServer, tmp_path: Path) -> None:
    answers = tmp_path / "answers.wav"
    turn = str(said(tmp_path, "hello_world"))
    options = ["-i", turn, "-o", str(answers), "--max-tokens", "8"]

    shown = ran([str(COMMAND), "talk", "--url", server.url, *options], tmp_path)

    own, answer, times = shown.splitlines()
    assert own.startswith("You: ")
    assert "hello" in own.lower()
    assert answer.startswith("smollm2-135m-instruct: ")
    assert "first audio" in times
    assert seconds(answers) > 0.2


def test_the_python_example_holds_two_turns(server: LiveServer, tmp_path: Path) -> None:
    turn = str(said(tmp_path, "hello_world"))
    command = [sys.executable, str(EXAMPLES / "talk.py"), "--url", server.base_url, "--max-tokens", "8", turn, turn]

    turns = json.loads(ran(command, tmp_path))["turns"]

    assert ["hello" in held["said"].lower() for held in turns] == [True, True]
    assert all(held["answer"] and held["words"] and held["visemes"] for held in turns)
    assert abs(seconds(tmp_path / "answers.wav") - sum(held["seconds"] for held in turns)) < 0.001
    assert all(held["visemes"][-1]["end_time"] <= held["seconds"] + 0.001 for held in turns)


def test_the_javascript_example_holds_a_turn(server: LiveServer, installed: Path, tmp_path: Path) -> None:
    example = installed / "talk.mjs"
    example.write_bytes((EXAMPLES / "talk.mjs").read_bytes())
    turn = str(said(tmp_path, "hello_world"))

    shown = ran([node_and_npm()[0], str(example), f"--url={server.base_url}", "--max-tokens=8", turn], installed)

    (held,) = json.loads(shown)["turns"]
    assert "hello" in held["said"].lower()
    assert held["answer"]
    assert held["words"]
    assert 0 < held["visemes"][-1]["end_time"] <= held["seconds"] + 0.001
