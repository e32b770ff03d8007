"""The examples of docs/speech.md with the echo model. Node runs the browser's: it plays sentences and moves a mouth."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import soundfile

from tests.live.client import PATIENCE
from tests.live.harness import LiveServer
from tests.live.test_sdk_node import SOURCES, node_and_npm

DOCUMENT = Path(__file__).parents[2] / "docs" / "speech.md"


def test_the_page_plays_the_sentences_without_a_gap_and_shows_all_shapes_in_order(
    echo_server: LiveServer, tmp_path: Path
) -> None:
    (script,) = re.findall(r'<script type="module">\n(.*?)</script>', DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    page = tmp_path / "page.mjs"
    page.write_text(script.replace("http://127.0.0.1:8000", echo_server.url))

    ran = subprocess.run(
        [node_and_npm()[0], str(SOURCES / "lipsync.mjs"), str(page)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    one, two = seen["played"]
    assert two["time"] == pytest.approx(one["time"] + one["duration"])
    assert 0.1 < one["loudest"] < 1

    asked = {"model": "any", "input": "Hello there. How are you?", "include_visemes": True}
    visemes = httpx.post(f"{echo_server.url}/v1/audio/speech", json=asked, timeout=PATIENCE).json()["visemes"]
    expected = [shape for before, shape in pairwise(["", *(v["viseme"] for v in visemes)]) if shape != before]
    # A busy machine may miss a frame, and a shape with it, but never adds or reorders shapes.
    assert is_part_of(seen["shapes"], expected), (seen["shapes"], expected)
    assert len(seen["shapes"]) > 0.7 * len(expected)
    assert seen["brow"] == 0, "a morph target that is no viseme must not change"
    assert "there is no voice 'zork'" in seen["refusal"]


def test_the_sdk_example_writes_a_file(
    echo_server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)

    exec(compile(block.replace("http://127.0.0.1:8000", echo_server.url), "speech.md", "exec"), {})

    sound, rate = soundfile.read(tmp_path / "hello.wav")
    assert len(sound) / rate == pytest.approx(1.775)


def is_part_of(some: list[str], order: list[str]) -> bool:
    rest = iter(order)
    return all(shape in rest for shape in some)
