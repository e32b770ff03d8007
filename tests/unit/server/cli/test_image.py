"""The `image` command."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server.cli._app import cli
from server.cli._terminal_images import ROWS, protocol_of, shown
from tests.unit.server.cli.scripted import Stub, Terminal

FILE = b"\x89PNG"


def event(kind: str = "completed", index: int = 0, **fields: Any) -> str:
    known = {"b64_json": base64.b64encode(FILE).decode(), "index": index, "size": "64x64", "seed": 7, "steps": 2}
    return json.dumps({"type": f"image_generation.{kind}", **known, **fields})


@pytest.fixture
def painter(stub: Stub) -> Stub:
    stub.models.append({"id": "painter", "capabilities": ["image"]})
    stub.script = [event(), "[DONE]"]
    return stub


def paint(stub: Stub, *arguments: str, piped: str = "", **environment: str) -> Result:
    clean = dict.fromkeys(("KITTY_WINDOW_ID", "TERM_PROGRAM", "LC_TERMINAL", "TMUX"), "")
    return CliRunner().invoke(cli, ["image", "--url", stub.url, *arguments], input=piped, env={**clean, **environment})


def test_an_image_is_written_and_described(painter: Stub, tmp_path: Path) -> None:
    file = tmp_path / "cube.png"

    result = paint(painter, "a red cube", "-o", str(file))

    assert (result.exit_code, result.stdout) == (0, "")
    assert file.read_bytes() == FILE
    assert f"{file}: 64x64, seed 7, 2 steps" in result.stderr
    assert painter.bodies[0] == {"prompt": "a red cube", "output_format": "png", "model": "painter", "stream": True}


@pytest.mark.parametrize(
    ("name", "output_format"),
    [("a.png", "png"), ("a.JPG", "jpeg"), ("a.jpeg", "jpeg"), ("a.webp", "webp"), ("a", "png")],
)
def test_the_file_s_extension_chooses_the_format(painter: Stub, tmp_path: Path, name: str, output_format: str) -> None:
    paint(painter, "x", "-o", str(tmp_path / name))

    assert painter.bodies[0]["output_format"] == output_format


def test_options_reach_the_server(painter: Stub, tmp_path: Path) -> None:
    options = ["--size", "64x128", "--steps", "9", "--seed", "5", "-n", "1", "--guidance", "2", "--model", "m"]
    paint(painter, "-o", str(tmp_path / "a.png"), *options, "--negative-prompt", "text", piped="from a pipe\n")

    sent = {"size": "64x128", "steps": 9, "seed": 5, "n": 1, "guidance": 2.0, "model": "m", "negative_prompt": "text"}
    assert painter.bodies[0].items() >= {**sent, "prompt": "from a pipe\n"}.items()


def test_several_images_are_numbered(painter: Stub, tmp_path: Path) -> None:
    painter.script = [event(), event(index=1), "[DONE]"]

    assert paint(painter, "x", "-o", str(tmp_path / "a.png"), "-n", "2").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1.png", "a-2.png"]


def test_standard_output_gets_only_the_file(painter: Stub) -> None:
    result = paint(painter, "x", "-o", "-")

    assert (result.stdout_bytes, result.stderr) == (FILE, "")


def test_images_to_edit_are_sent_as_a_form(painter: Stub, tmp_path: Path) -> None:
    source, mask = tmp_path / "in.png", tmp_path / "m.png"
    source.write_bytes(b"SOURCE")
    mask.write_bytes(b"MASK")

    result = paint(painter, "x", "-o", str(tmp_path / "a.png"), "--edit", str(source), "--mask", str(mask))

    assert result.exit_code == 0, result.stderr
    form = painter.bodies[0]["form"]
    for part in ('name="image[]"; filename="in.png"', "SOURCE", 'name="mask"; filename="m.png"', "MASK"):
        assert part in form
    assert 'name="stream"\r\n\r\nTrue' in form


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x"], "no output: name a file with -o"),
        (["", "-o", "a.png"], "no prompt: describe the image"),
        (["x", "-o", "missing/a.png"], "cannot write missing/a.png: its folder does not exist"),
        (["x", "-o", "-", "-n", "2"], "several images need a file"),
        (["x", "-o", "a.png", "--mask", __file__], "--mask needs --edit"),
        (["x", "--preview"], "this terminal shows no images"),
    ],
)
def test_what_cannot_work_is_refused_before_the_request(painter: Stub, arguments: list[str], message: str) -> None:
    result = paint(painter, *arguments)

    assert result.exit_code == 1
    assert message in result.stderr
    assert painter.bodies == []


def test_a_server_without_such_a_model_is_named(stub: Stub, tmp_path: Path) -> None:
    result = paint(stub, "x", "-o", str(tmp_path / "a.png"))

    assert (result.exit_code, result.stderr) == (1, f"Error: {stub.url} serves no image model\n")


def test_a_refusal_is_shown(painter: Stub, tmp_path: Path) -> None:
    painter.refusal = (400, {"error": {"message": "size: \x1b[31m17x9 is not possible"}})
    result = paint(painter, "x", "-o", str(tmp_path / "a.png"))

    assert result.exit_code == 1
    assert "size: [31m17x9 is not possible (HTTP 400)" in result.stderr
    assert not (tmp_path / "a.png").exists()


def test_previews_are_shown_in_a_terminal_that_can(painter: Stub, tmp_path: Path) -> None:
    painter.script = [event("partial_image"), event(), "[DONE]"]

    result = paint(painter, "x", "--preview", KITTY_WINDOW_ID="1")

    file = base64.b64encode(FILE).decode()
    assert result.exit_code == 0, result.stderr
    assert painter.bodies[0]["partial_images"] == 3
    assert result.stderr.index(shown(file, "kitty")) < result.stderr.index(shown(file, "kitty", over=True))
    assert "64x64, seed 7, 2 steps" in result.stderr


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"KITTY_WINDOW_ID": "3"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"LC_TERMINAL": "iTerm2", "TERM": "xterm-256color"}, "iterm"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM_PROGRAM": "Apple_Terminal"}, None),
        ({"KITTY_WINDOW_ID": "3", "TMUX": "/tmp/x"}, None),
        ({"LC_TERMINAL": "iTerm2", "TERM": "screen"}, None),
        ({}, None),
    ],
)
def test_the_environment_names_the_protocol(environment: dict[str, str], protocol: str | None) -> None:
    assert protocol_of(environment) == protocol


def test_kitty_gets_a_file_in_chunks() -> None:
    text = shown("A" * 4096 + "B" * 8, "kitty")

    assert f"\x1b_Ga=T,f=100,r={ROWS},C=1,q=2,m=1;{'A' * 4096}\x1b\\\x1b_Gm=0;{'B' * 8}\x1b\\" in text


def test_iterm_gets_a_file_in_one_sequence() -> None:
    assert f"\x1b]1337;File=inline=1;height={ROWS};preserveAspectRatio=1;size=3:AAAA\x07" in shown("AAAA", "iterm")


def test_ctrl_c_ends_the_request(painter: Stub, tmp_path: Path) -> None:
    painter.script = [": image 1/1 step 1/20", threading.Event()]
    terminal = Terminal("image", "x", "-o", str(tmp_path / "a.png"), "--url", painter.url, term="xterm")
    try:
        terminal.expect("1/20")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert painter.abandoned.wait(10)
    finally:
        terminal.close()
    assert not (tmp_path / "a.png").exists()


def test_steps_move_a_bar(painter: Stub, tmp_path: Path) -> None:
    go_on = threading.Event()
    painter.script = [": image 1/1 step 3/20", go_on, event(), "[DONE]"]
    terminal = Terminal("image", "x", "-o", str(tmp_path / "a.png"), "--url", painter.url, term="xterm")
    try:
        terminal.expect("3/20")
        go_on.set()
        terminal.expect("64x64")
        assert terminal.wait() == 0
    finally:
        terminal.close()


def test_a_server_that_does_not_start_is_reported(tmp_path: Path) -> None:
    arguments = ["image", "x", "-o", str(tmp_path / "a.png"), "--launch", "--model-type nonsense"]
    result = CliRunner().invoke(cli, arguments)

    assert result.exit_code == 1
    assert "the server did not start: --model-type must be" in result.stderr


def test_options_that_are_no_command_line_are_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["image", "x", "-o", str(tmp_path / "a.png"), "--launch", "'open"])

    assert result.exit_code == 1
    assert "--launch: No closing quotation" in result.stderr


@pytest.mark.parametrize(("edits", "chosen"), [(False, "maker"), (True, "changer")])
def test_the_model_is_one_that_does_what_is_wanted(painter: Stub, tmp_path: Path, edits: bool, chosen: str) -> None:
    painter.models[-1:] = [
        {"id": "changer", "capabilities": ["image", "image_edit"]},
        {"id": "maker", "capabilities": ["image", "image_generation"]},
    ]
    source = tmp_path / "in.png"
    source.write_bytes(FILE)
    result = paint(painter, "a cube", "-o", str(tmp_path / "cube.png"), *(["--edit", str(source)] if edits else []))

    assert result.exit_code == 0
    assert chosen in str(painter.bodies[-1])
