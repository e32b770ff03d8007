"""The `debate` command."""

from __future__ import annotations

import base64
import json
import threading
import wave
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server.cli._app import cli
from server.cli._output import INTERRUPTED
from tests.unit.server.cli.scripted import Stub, Terminal, chunk

PCM = bytes(range(96))
WORDS = [{"word": "Yes", "start_time": 0.0, "end_time": 0.5}]


def debate(stub: Stub, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["debate", "Cats are better than dogs", "--url", stub.url, *arguments])


def spoken() -> list[str | threading.Event]:
    parts: list[dict[str, Any]] = [
        {"id": "a", "transcript": "Yes."},
        {"id": "a", "data": base64.b64encode(PCM).decode(), "words": WORDS},
        {"id": "a", "expires_at": 1},
    ]
    deltas = [json.dumps({"choices": [{"index": 0, "delta": {"audio": part}}]}) for part in parts]
    return [*deltas, chunk(finish="stop"), "[DONE]"]


def test_the_speakers_alternate_and_each_sees_the_other_as_its_user(stub: Stub) -> None:
    result = debate(stub, "--rounds", "2", "--names", "Eve,Tom")

    assert result.exit_code == 0, result.output
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["Eve", "Tom", "Eve", "Tom"]
    roles = [[message["role"] for message in body["messages"]] for body in stub.bodies]
    assert roles[:2] == [["system", "user"], ["system", "user"]]
    assert roles[2] == ["system", "user", "assistant", "user"]
    assert roles[3] == ["system", "user", "assistant", "user"]
    systems = [body["messages"][0]["content"] for body in stub.bodies]
    assert "Eve" in systems[0] and "for this claim: Cats are better than dogs" in systems[0]  # noqa: PT018
    assert "Tom" in systems[1] and "against" in systems[1]  # noqa: PT018
    assert all("modalities" not in body for body in stub.bodies)


def test_a_seed_gives_every_turn_its_own(stub: Stub) -> None:
    debate(stub, "--rounds", "2", "--seed", "7")
    assert [body["seed"] for body in stub.bodies] == [7, 8, 9, 10]


def test_a_spoken_debate_is_written_turn_by_turn_and_as_a_whole(stub: Stub, tmp_path: Path) -> None:
    stub.script = spoken()

    result = debate(stub, "--rounds", "1", "-o", str(tmp_path / "out"), "--voices", "nova,onyx", "--max-seconds", "9")

    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["01-ada.wav", "02-ben.wav", "debate.wav"]
    with wave.open(str(tmp_path / "out" / "debate.wav")) as file:
        assert (file.getframerate(), file.readframes(999)) == (24_000, PCM + PCM)
    assert [body["audio"]["voice"] for body in stub.bodies] == ["nova", "onyx"]
    assert all(body["max_spoken_seconds"] == 9 for body in stub.bodies)


def test_json_holds_the_statements(stub: Stub, tmp_path: Path) -> None:
    stub.script = spoken()
    result = debate(stub, "--rounds", "1", "--json", "-", "-o", str(tmp_path))
    record = json.loads(result.stdout)
    assert record["topic"] == "Cats are better than dogs"
    assert [(turn["speaker"], turn["text"], turn["words"]) for turn in record["statements"]] == [
        ("Ada", "Yes.", WORDS),
        ("Ben", "Yes.", WORDS),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--names", "A,B,C"), "expected two values"), (("--rounds", "0"), "0 is not in the range")],
)
def test_a_wrong_option_is_named(stub: Stub, arguments: tuple[str, ...], message: str) -> None:
    result = debate(stub, *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert stub.bodies == []


def test_a_server_without_a_voice_is_named_before_the_debate(stub: Stub, tmp_path: Path) -> None:
    stub.models = [{"id": "talker", "capabilities": ["chat"]}]
    result = debate(stub, "-o", str(tmp_path))
    assert result.exit_code == 1
    assert "speech model" in result.output
    assert stub.bodies == []


def test_a_refused_turn_ends_the_debate_and_keeps_what_was_said(stub: Stub) -> None:
    stub.refusal = (400, {"error": {"message": "temperature: too hot"}})
    result = debate(stub, "--json", "-")
    assert result.exit_code == 1
    assert "too hot" in result.output


def test_ctrl_c_ends_the_debate_and_its_connection(stub: Stub) -> None:
    stub.script = [chunk("Well, "), threading.Event()]
    terminal = Terminal("debate", "Cats are better than dogs", "--url", stub.url, term="xterm")
    try:
        terminal.expect("Well,")
        terminal.type("\x03")
        assert terminal.wait() == INTERRUPTED
    finally:
        terminal.close()
    assert stub.abandoned.wait(5)
    assert "Traceback" not in terminal.seen


STORE = "/v1/vector_stores/vs_1"
REPLIES = {
    "POST /v1/files": {"id": "file_1"},
    "POST /v1/vector_stores": {"id": "vs_1"},
    f"GET {STORE}": {"status": "completed"},
    f"GET {STORE}/files?filter=failed": {"data": []},
    f"DELETE {STORE}": {},
    "DELETE /v1/files/file_1": {},
}


def test_speakers_read_passages_of_files_that_are_gone_afterwards(stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "cats.md").write_text("Cats sleep.", encoding="utf-8")
    stub.replies = REPLIES
    passage = {"filename": "cats.md", "text": "Cats sleep."}
    stub.script = [chunk(context={"passages": [passage], "found": 1}), chunk("Yes."), chunk(finish="stop"), "[DONE]"]

    result = debate(stub, "--rounds", "1", "--context", str(tmp_path / "cats.md"), "--json", "-")

    assert result.exit_code == 0, result.output
    upload, *others = stub.calls
    assert "Cats sleep." in upload
    assert 'filename="cats.md"' in upload
    assert others == [
        'POST /v1/vector_stores {"name":"debate","file_ids":["file_1"]}',
        f"GET {STORE}",
        f"GET {STORE}/files?filter=failed",
        f"DELETE {STORE}",
        "DELETE /v1/files/file_1",
    ]
    assert [body["context"] for body in stub.bodies] == [{"vector_store_ids": ["vs_1"], "max_results": 3}] * 2
    assert stub.bodies[0]["messages"][1]["content"].endswith("The claim: Cats are better than dogs")
    assert [turn["passages"] for turn in json.loads(result.stdout)["statements"]] == [[passage]] * 2


def test_a_file_that_the_server_cannot_read_ends_the_command(stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "cats.pdf").write_bytes(b"%PDF")
    failed = {"id": "file_1", "last_error": {"code": "invalid_file", "message": "no text"}}
    stub.replies = {**REPLIES, f"GET {STORE}/files?filter=failed": {"data": [failed]}}

    result = debate(stub, "--context", str(tmp_path / "cats.pdf"))

    assert result.exit_code == 1
    assert "cats.pdf cannot be read: no text" in result.output
    assert stub.calls[-2:] == [f"DELETE {STORE}", "DELETE /v1/files/file_1"]
    assert stub.bodies == []
