"""The README's examples do what it says."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import httpx
import pytest

from tests.live.harness import LiveServer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str, containing: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [block for block in found if containing in block]


def post_as_curl_would(line: str) -> httpx.Response:
    """The request of a `curl URL -H NAME:VALUE -d BODY` line, for machines that have no curl."""
    command, url, *options = shlex.split(line.replace("\\\n", " "))
    assert command == "curl"
    pairs = list(zip(options[::2], options[1::2], strict=True))
    assert {flag for flag, _ in pairs} <= {"-H", "-d"}
    headers = dict(value.split(": ", 1) for flag, value in pairs if flag == "-H")
    (body,) = (value for flag, value in pairs if flag == "-d")
    return httpx.post(url, headers=headers, content=body, timeout=60)


@pytest.mark.parametrize("block", blocks("bash", "curl"))
def test_the_curl_line_is_answered(server: LiveServer, block: str) -> None:
    answer = post_as_curl_would(block.replace("http://127.0.0.1:8000", server.url))

    assert answer.status_code == 200
    assert "Paris" in answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("block", blocks("python", "OpenAI("))
def test_the_sdk_example_prints_the_answer(server: LiveServer, block: str) -> None:
    printed = io.StringIO()

    with contextlib.redirect_stdout(printed):
        exec(compile(block.replace("http://127.0.0.1:8000", server.url), "README.md", "exec"), {})

    assert "Paris" in printed.getvalue()


def test_the_banner_s_curl_line_is_answered(server: LiveServer) -> None:
    line = server.log.wait_for(r"^\s*(curl http.*)$")[1]

    assert "Paris" in post_as_curl_would(line).json()["choices"][0]["message"]["content"]


def test_there_are_examples() -> None:
    assert blocks("bash", "curl")
    assert blocks("python", "OpenAI(")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
