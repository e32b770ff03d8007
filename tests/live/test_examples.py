"""The examples in the README and the documentation, run against one server."""

from __future__ import annotations

import io
import re
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from PIL import Image

from server.settings.settings import Settings
from tests.live.client import PATIENCE
from tests.live.harness import LiveServer

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RECORDING = files("pytest_audioeval") / "samples" / "audio" / "en" / "hello_world.wav"


def examples(languages: str, containing: str) -> list[Any]:
    """Fenced blocks of all pages, each with its page and line as id."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(rf"^```(?:{languages})\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if containing in block[1]:
                line = text.count("\n", 0, block.start()) + 1
                found.append(pytest.param(block[1], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


CURL = examples("bash|sh", "curl http")
PYTHON = examples("python", "OpenAI(")
YAML = examples("yaml", "models:")


def upload(field: str) -> tuple[str, bytes]:
    """A file for the form field of this name."""
    if field == "file":
        return "speech.wav", RECORDING.read_bytes()
    drawn = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(drawn, "PNG")
    return f"{field}.png", drawn.getvalue()


def post_as_curl_would(line: str) -> httpx.Response:
    """Send the request of a `curl URL -H NAME:VALUE -d BODY -F FIELD=VALUE` line, for machines without curl."""
    command, url, *options = shlex.split(line)
    assert command == "curl"
    given: dict[str, list[str]] = {"-H": [], "-d": [], "-F": []}
    for flag, value in zip(options[::2], options[1::2], strict=True):
        given[flag].append(value)
    headers = dict(value.split(": ", 1) for value in given["-H"])
    if not given["-F"]:
        (body,) = given["-d"]
        return httpx.post(url, headers=headers, content=body, timeout=PATIENCE)
    fields = dict(value.split("=", 1) for value in given["-F"])
    files = {name: upload(name) for name, value in fields.items() if value.startswith("@")}
    data = {name: value for name, value in fields.items() if name not in files}
    return httpx.post(url, headers=headers, data=data, files=files, timeout=PATIENCE)


@pytest.mark.parametrize("block", CURL)
def test_a_curl_line_is_answered(server: LiveServer, echo_server: LiveServer, block: str) -> None:
    asked = echo_server if "/v1/images/" in block else server
    for line in re.sub(r"http://127\.0\.0\.1:80[08]0", asked.url, block.replace("\\\n", " ")).splitlines():
        answer = post_as_curl_would(line)

        assert answer.status_code == 200, answer.text
        if "What is the capital of France?" in line:
            assert "Paris" in answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("block", PYTHON)
def test_an_sdk_example_runs(
    server: LiveServer,
    block: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r'open\("(.+\.wav)", "rb"\)', block):
        (tmp_path / name).write_bytes(RECORDING.read_bytes())

    exec(compile(block.replace("http://127.0.0.1:8000", server.url), "example", "exec"), {})

    if "What is the capital of France?" in block:
        assert "Paris" in capsys.readouterr().out
    for written in re.findall(r'stream_to_file\("(.+)"\)', block):
        assert (tmp_path / written).read_bytes().startswith(b"RIFF")


@pytest.mark.parametrize("block", YAML)
def test_a_configuration_file_is_valid(block: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(block, encoding="utf-8")

    settings = Settings.load({"config": str(tmp_path / "config.yaml")}, {})

    assert len(settings.models) == len(yaml.safe_load(block)["models"])


def test_the_banner_s_curl_line_is_answered(server: LiveServer) -> None:
    line = server.log.wait_for(r"^\s*(curl http.*)$")[1]

    assert "Paris" in post_as_curl_would(line).json()["choices"][0]["message"]["content"]


def test_the_readme_has_examples() -> None:
    assert {str(example.id).partition(":")[0] for example in (*CURL, *PYTHON)} >= {"README.md"}
    assert CURL
    assert PYTHON
    assert YAML
