"""The `speak` command."""

from __future__ import annotations

import base64
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from server.api.speech.encoders import new_encoder
from server.cli._app import cli
from tests.unit.server.api.speech.sounds import RATE, chirp, decoded
from tests.unit.server.cli.scripted import Stub, Terminal

SOUND = chirp(RATE)
WORDS = [{"word": "Hi", "start_time": 0.0, "end_time": 0.5}]
VISEMES = [{"viseme": "kk", "viseme_id": 5, "phoneme": "h", "start_time": 0.0, "end_time": 0.5}]


def delta(audio: bytes, piece: int = 1, text: str = "Hi.", **timings: Any) -> str:
    fields = {"audio": base64.b64encode(audio).decode(), "piece": piece, "pieces": 2, "text": text, **timings}
    return json.dumps({"type": "speech.audio.delta", **fields})


def done(samples: int = len(SOUND)) -> str:
    return json.dumps({"type": "speech.audio.done", "duration": samples / RATE, "model": "speaker"})


def said(stub: Stub, audio_format: Any = "wav") -> None:
    """Make the server return `SOUND` in two pieces."""
    encoder = new_encoder(audio_format)
    half = len(SOUND) // 2 * 2
    pcm = SOUND.tobytes()
    stub.script = [
        delta(encoder.encode(pcm[:half]), words=WORDS, visemes=VISEMES),
        delta(encoder.encode(pcm[half:]) + encoder.finish(), piece=2, words=[], visemes=[]),
        done(),
        "[DONE]",
    ]


def speak(stub: Stub, *arguments: str, piped: str = "") -> Result:
    return CliRunner().invoke(cli, ["speak", "--url", stub.url, *arguments], input=piped)


@pytest.mark.parametrize(
    ("name", "audio_format"),
    [("a.wav", "wav"), ("a.mp3", "mp3"), ("a.OGG", "opus"), ("a.flac", "flac"), ("a.aac", "aac"), ("a.bin", "wav")],
)
def test_the_file_s_extension_chooses_the_format(stub: Stub, tmp_path: Path, name: str, audio_format: str) -> None:
    said(stub, audio_format)
    file = tmp_path / name

    result = speak(stub, "Hi.", "-o", str(file))

    assert (result.exit_code, result.stdout) == (0, "")
    assert f"1.00 s of {audio_format}" in result.stderr
    assert stub.bodies[0]["response_format"] == audio_format
    assert len(decoded(audio_format, file.read_bytes())) == pytest.approx(len(SOUND), abs=1024)


def test_the_header_of_a_wav_file_holds_its_length(stub: Stub, tmp_path: Path) -> None:
    said(stub)
    speak(stub, "Hi.", "-o", str(tmp_path / "a.wav"))

    data = (tmp_path / "a.wav").read_bytes()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert int.from_bytes(data[40:44], "little") == len(data) - 44
    assert np.array_equal(decoded("wav", data), SOUND)


def test_standard_output_gets_only_the_file(stub: Stub) -> None:
    said(stub, "pcm")
    result = speak(stub, "Hi.", "-o", "-", "--format", "pcm")

    assert result.stdout_bytes == SOUND.tobytes()
    assert result.stderr == ""


def test_options_reach_the_server_and_absent_ones_do_not(stub: Stub, tmp_path: Path) -> None:
    said(stub)
    speak(stub, "Hi.", "-o", str(tmp_path / "a.wav"))
    speak(
        stub,
        "Hi.",
        "-o",
        str(tmp_path / "a.wav"),
        "--voice",
        "nova",
        "--speed",
        "2",
        "--model",
        "m",
        "--language",
        "es",
    )

    assert stub.bodies[0] == {
        "model": "speaker",
        "input": "Hi.",
        "response_format": "wav",
        "include_visemes": True,
        "stream_format": "sse",
    }
    assert stub.bodies[1] == stub.bodies[0] | {"model": "m", "voice": "nova", "speed": 2.0, "language": "es"}


def test_piped_text_is_spoken(stub: Stub, tmp_path: Path) -> None:
    said(stub)
    speak(stub, "-o", str(tmp_path / "a.wav"), piped="from a pipe\n")
    assert stub.bodies[0]["input"] == "from a pipe\n"


def test_visemes_are_written_beside_the_sound(stub: Stub, tmp_path: Path) -> None:
    said(stub)
    file = tmp_path / "visemes.json"
    speak(stub, "Hi.", "-o", str(tmp_path / "a.wav"), "--visemes", str(file), "--viseme-set", "oculus")

    assert json.loads(file.read_text()) == {
        "model": "speaker",
        "sample_rate": RATE,
        "duration": 1.0,
        "words": WORDS,
        "visemes": VISEMES,
    }
    assert stub.bodies[0]["viseme_set"] == "oculus"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Make `script` the only audio player on PATH."""
    player = folder / name
    player.write_text(f"#!/bin/sh\n{script}\n")
    player.chmod(0o755)
    for program in ("cat", "cp", "dd"):
        (folder / program).symlink_to(f"/bin/{program}")
    monkeypatch.setenv("PATH", str(folder))


def test_play_pipes_the_audio_into_a_player(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(stub)
    heard = tmp_path / "heard"
    install(tmp_path, monkeypatch, "aplay", f"cat > {heard}")

    assert speak(stub, "Hi.", "--play").exit_code == 0
    assert np.array_equal(decoded("wav", heard.read_bytes()), SOUND)


def test_the_first_piece_is_played_before_the_last_has_arrived(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(stub)
    heard, go_on = tmp_path / "heard", threading.Event()
    os.mkfifo(heard)
    stub.script.insert(1, go_on)
    install(tmp_path, monkeypatch, "aplay", f"dd bs=1 count=44 2>/dev/null > {heard}; exec cat > {tmp_path}/rest")

    def listen() -> None:
        assert heard.read_bytes().startswith(b"RIFF")
        go_on.set()

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    result = speak(stub, "Hi.", "--play", "-o", str(tmp_path / "a.wav"))
    listening.join(10)

    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "rest").read_bytes() == SOUND.tobytes()
    assert np.array_equal(decoded("wav", (tmp_path / "a.wav").read_bytes()), SOUND)


def test_a_player_that_needs_a_file_gets_the_complete_file(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(stub, "mp3")
    heard = tmp_path / "heard"
    install(tmp_path, monkeypatch, "afplay", f'cp "$1" {heard}')

    assert speak(stub, "Hi.", "--play", "--format", "mp3").exit_code == 0
    assert len(decoded("mp3", heard.read_bytes())) == pytest.approx(len(SOUND), abs=1024)


def test_pcm_samples_are_played_too(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(stub, "pcm")
    install(tmp_path, monkeypatch, "aplay", f"cat > {tmp_path}/heard")

    assert speak(stub, "Hi.", "--play", "--format", "pcm").exit_code == 0
    assert np.array_equal(decoded("wav", (tmp_path / "heard").read_bytes()), SOUND)


def test_a_player_s_failure_is_reported(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(stub)
    install(tmp_path, monkeypatch, "aplay", "echo 'no such card' >&2\nexit 1")

    result = speak(stub, "Hi.", "--play")
    assert (result.exit_code, result.stderr) == (1, "Error: aplay could not play it: no such card\n")


def test_without_a_player_the_message_suggests_one(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(stub)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = speak(stub, "Hi.", "--play")
    assert result.exit_code == 1
    assert "ffmpeg" in result.stderr


def test_an_unreachable_server_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["speak", "--url", "127.0.0.1:1", "Hi", "-o", str(tmp_path / "a.wav")])

    assert result.exit_code == 1
    assert result.stderr == (
        "Error: no server responds at http://127.0.0.1:1; start one with `mlx-openai-server launch`\n"
    )
    assert not (tmp_path / "a.wav").exists()


def test_a_server_without_a_speech_model_is_an_error(stub: Stub, tmp_path: Path) -> None:
    stub.models = [{"id": "talker", "capabilities": ["chat"]}]
    result = speak(stub, "Hi", "-o", str(tmp_path / "a.wav"))
    assert result.stderr == f"Error: {stub.url} serves no speech model\n"


def test_a_refusal_is_shown_and_nothing_is_written(stub: Stub, tmp_path: Path) -> None:
    stub.refusal = (400, {"error": {"message": "voice: there is no voice 'zork'"}})
    result = speak(stub, "Hi", "-o", str(tmp_path / "a.wav"), "--voice", "zork")

    assert (result.exit_code, result.stderr) == (1, "Error: voice: there is no voice 'zork' (HTTP 400)\n")
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([delta(b"ab"), '{"error": {"message": "the engine died"}}', "[DONE]"], "the engine died"),
        ([delta(b"ab")], "before the answer was complete"),
        ([delta(b"ab"), "[DONE]"], "does not stream speech"),
        (["nonsense"], "not part of an answer"),
    ],
)
def test_a_broken_stream_leaves_no_file(stub: Stub, tmp_path: Path, script: list[Any], message: str) -> None:
    stub.script = script
    result = speak(stub, "Hi", "-o", str(tmp_path / "a.wav"))

    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["", "-o", "a.wav"], "no text to speak"),
        (["Hi"], "no output"),
        (["Hi", "-o", "no/such/folder/a.wav"], "folder does not exist"),
        (["a\udcffb", "-o", "a.wav"], "not in UTF-8"),
    ],
)
def test_an_unusable_command_line_fails_before_any_request(stub: Stub, arguments: list[str], message: str) -> None:
    result = speak(stub, *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert stub.bodies == []


def test_a_bar_advances_by_sentences_on_a_terminal(stub: Stub, tmp_path: Path) -> None:
    go_on = threading.Event()
    said(stub)
    stub.script.insert(1, go_on)
    terminal = Terminal("speak", "--url", stub.url, "Hi. Bye.", "-o", str(tmp_path / "a.wav"), term="xterm")
    try:
        terminal.expect("1/2")
        go_on.set()
        terminal.expect("1.00 s of wav")
        assert terminal.wait() == 0
    finally:
        go_on.set()
        terminal.close()


def test_ctrl_c_ends_it_without_a_traceback(stub: Stub, tmp_path: Path) -> None:
    never = threading.Event()
    said(stub)
    stub.script.insert(1, never)
    terminal = Terminal("speak", "--url", stub.url, "Hi. Bye.", "-o", str(tmp_path / "a.wav"), term="xterm")
    try:
        terminal.expect("1/2")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.seen
        assert stub.abandoned.wait(10)
    finally:
        never.set()
        terminal.close()
    assert not (tmp_path / "a.wav").exists()
