"""The servers under judgement, and the table of outcomes at the end of `make compat`."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from tests.compat.judges import Judge, Outcome, Service
from tests.live.client import PATIENCE, eventually
from tests.live.harness import Log, clean_environment, start

ROWS = pytest.StashKey[list[tuple[Judge, Service, list[Outcome], int]]]()


@pytest.fixture(scope="session")
def scripted() -> Generator[Service]:
    """The real application on a real port, over a model that answers right."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("granian")),
            *("--interface", "asgi", "--factory", "tests.compat.scripted_service:create_app", "--port", str(port)),
        ],
        env=clean_environment(PYTHONPATH=str(Path(__file__).parents[2])),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    log = Log(process)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(url + "/health", timeout=PATIENCE).status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(answers, every=0.1)
        yield Service("scripted", url, "scripted", "scripted-embeddings")
    finally:
        process.terminate()
        process.wait(PATIENCE)
    assert "Traceback" not in log.text


@pytest.fixture(scope="session")
def embedded() -> Generator[Service]:
    """The embedded default, as `launch` without options serves it."""
    # Bounded: a small model does not always end its answer.
    running = start("--max-tokens", "128")
    yield Service("embedded", running.url, "smollm2-135m-instruct", "all-minilm-l6-v2")
    assert running.stop() == 0
    assert "Traceback" not in running.log.text


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[ROWS]
    if not rows:
        return
    terminalreporter.section("judges")
    terminalreporter.write_line("| judge | version | model | passed | expected to fail | skipped by the judge |")
    terminalreporter.write_line("| --- | --- | --- | --- | --- | --- |")
    for judge, service, outcomes, expected in rows:
        passed = sum(outcome.passed is True for outcome in outcomes)
        skipped = sum(outcome.passed is None for outcome in outcomes)
        ran = len(outcomes) - skipped
        terminalreporter.write_line(
            f"| {judge.name} | {judge.version} | {service.name} | {passed} of {ran} | {expected} | {skipped} |"
        )
    for judge, service, outcomes, _ in rows:
        for outcome in outcomes:
            if outcome.passed is False:
                terminalreporter.write_line(f"failed: {judge.name}, {service.name}: {outcome.case}")
