"""The `talk` command with WAV files, against a scripted server."""

from __future__ import annotations

import base64
import http
import sys
import types
import wave
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from server.cli._app import cli
from tests.unit.server.cli.talk.conversing import PIECE, Converser, answer, conversing


@pytest.fixture
def converser() -> Generator[Converser]:
    with conversing() as running:
        yield running


@pytest.fixture
def question(tmp_path: Path) -> str:
    """A WAV file of half a second at 16 kHz, in stereo."""
    path = tmp_path / "question.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.repeat(np.arange(8_000, dtype="<i2"), 2).tobytes())
    return str(path)


def talk(converser: Converser | None, *arguments: str) -> Result:
    url = converser.url if converser is not None else "http://127.0.0.1:9"
    return CliRunner().invoke(cli, ["talk", "--url", url, *arguments])


def test_files_are_turns_and_the_answers_become_one_file(converser: Converser, question: str, tmp_path: Path) -> None:
    converser.answers = [answer(1), answer(2)]
    converser.transcripts = ["And France?", "And Italy?"]

    held = talk(converser, "-i", question, "-i", question, "-o", str(tmp_path / "answers.wav"), "--voice", "af_heart")

    assert held.exit_code == 0, held.output
    lines = held.stdout.splitlines()
    assert [line for line in lines if not line.startswith("[")] == [
        *("You: And France?", "talker: Paris, it is."),
        *("You: And Italy?", "talker: Paris, it is."),
    ]
    times = [line for line in lines if line.startswith("[")]
    assert len(times) == 2
    assert all("transcript" in line and "first text" in line and "first audio" in line for line in times)
    with wave.open(str(tmp_path / "answers.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (24_000, 1)
        assert file.readframes(file.getnframes()) == 2 * PIECE
    session = converser.received[0]["session"]
    assert session["audio"]["output"]["voice"] == "af_heart"
    assert session["audio"]["input"]["turn_detection"] is None
    kinds = [event["type"] for event in converser.received[1:]]
    assert kinds == 2 * ["input_audio_buffer.append", "input_audio_buffer.commit", "response.create"]
    sent = b"".join(base64.b64decode(event.get("audio", "")) for event in converser.received[1:])
    assert len(sent) == 2 * 24_000, "two turns of half a second, at the rate of the protocol"
    assert "/v1/realtime?model=talker" in converser.paths


def test_a_failed_answer_ends_the_command_with_its_reason(converser: Converser, question: str, tmp_path: Path) -> None:
    converser.answers = [answer(status="failed")]

    held = talk(converser, "-i", question, "-o", str(tmp_path / "answers.wav"))

    assert held.exit_code == 1
    assert held.stderr.endswith("Error: the engine ended\n")


@pytest.mark.parametrize(
    ("capability", "lack"), [("chat", "chats"), ("speech", "speaks"), ("transcription", "transcribes")]
)
def test_a_server_without_one_of_the_three_models_is_named(
    converser: Converser, question: str, tmp_path: Path, capability: str, lack: str
) -> None:
    converser.models = [model for model in converser.models if capability not in model["capabilities"]]

    held = talk(converser, "-i", question, "-o", str(tmp_path / "answers.wav"))

    assert held.exit_code == 1
    assert held.stderr == f"Error: {converser.url} serves no model that {lack}\n"


def test_a_refused_conversation_names_the_key(converser: Converser, question: str, tmp_path: Path) -> None:
    converser.refusal = http.HTTPStatus.UNAUTHORIZED

    held = talk(converser, "-i", question, "-o", str(tmp_path / "answers.wav"), "--api-key", "hush")

    assert held.exit_code == 1
    assert "HTTP 401" in held.stderr
    assert "--api-key" in held.stderr
    assert {*converser.keys} == {"Bearer hush"}


def test_a_session_that_the_server_closes_is_refused_with_its_reason(
    converser: Converser, question: str, tmp_path: Path
) -> None:
    converser.error = {"type": "invalid_request_error", "code": "invalid_api_key", "message": "the key is wrong"}

    held = talk(converser, "-i", question, "-o", str(tmp_path / "answers.wav"))

    assert held.exit_code == 1
    assert held.stderr == "Error: the key is wrong; pass it with --api-key or API_KEY\n"


def test_no_server_is_one_sentence(question: str, tmp_path: Path) -> None:
    held = talk(None, "-i", question, "-o", str(tmp_path / "answers.wav"))

    assert held.exit_code == 1
    assert "no server responds at http://127.0.0.1:9" in held.stderr


def test_a_file_that_is_no_wav_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("Hello")

    held = talk(None, "-i", str(tmp_path / "text.wav"), "-o", str(tmp_path / "answers.wav"))

    assert held.exit_code == 1
    assert held.stderr == f"Error: {tmp_path}/text.wav is not a WAV file of PCM samples\n"


def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)

    held = talk(None)

    assert held.exit_code == 1
    assert "pip install 'mlx-openai-server-lab[talk]'" in held.stderr


def test_without_a_device_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class PortAudioError(Exception): ...

    def no_device(**_: Any) -> None:
        raise PortAudioError("Error querying device -1")

    fake = types.SimpleNamespace(PortAudioError=PortAudioError, RawOutputStream=no_device)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)

    held = talk(None)

    assert held.exit_code == 1
    assert held.stderr == (
        "Error: no loudspeaker can be used (Error querying device -1); "
        "--input and --output take and write WAV files instead\n"
    )
