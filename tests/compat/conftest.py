"""The servers under judgement, and the table of outcomes at the end of `make compat`."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.compat.judges import Judge, Outcome, Service
from tests.live.granian_service import serving
from tests.live.harness import start

ROWS = pytest.StashKey[list[tuple[Judge, Service, list[Outcome], int]]]()


@pytest.fixture(scope="session")
def scripted() -> Generator[Service]:
    """The real application on a real port, over a model that answers right."""
    with serving("tests.compat.scripted_service:create_app") as (url, log):
        yield Service("scripted", url, "scripted", "scripted-embeddings")
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
