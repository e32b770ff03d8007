"""Servers for the live tests: the installed command, real weights, real signals."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.live.collector import Collector, collecting
from tests.live.espeak import find_espeak
from tests.live.harness import READY, READY_SECONDS, LiveServer, start
from tests.live.reports import pytest_runtest_makereport as pytest_runtest_makereport


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Extend the timeout: the first test of a server also waits for the server to start."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(READY_SECONDS + 120))


@pytest.fixture(scope="session")
def server() -> Generator[LiveServer]:
    """The default that `launch` serves without options, shared by all tests that leave it intact."""
    running = start()
    yield running
    code = running.stop()
    assert code == 0, running.log.text
    assert "Traceback" not in running.log.text


@pytest.fixture(scope="session")
def echo_server() -> Generator[LiveServer]:
    """The echo model with default options, shared. It has no weights and serves the whole API."""
    running = start("--model-type", "echo")
    yield running
    code = running.stop()
    assert code == 0, running.log.text


@pytest.fixture(scope="session")
def voice() -> Generator[LiveServer]:
    """The embedded speech model with three places, a lexicon, and espeak-ng where the machine has it."""
    find_espeak()
    running = start("--model-type", "tts", "--max-concurrency", "3", "--lexicon", '{"Worcester": "wˈʊstəɹ"}')
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.text


@pytest.fixture(scope="session")
def collector() -> Generator[Collector]:
    """Collector that receives the telemetry of `traced`, with a short delay."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
def traced(collector: Collector) -> Generator[LiveServer]:
    """The embedded default with a collector for every signal and JSON log lines; shared like `server`."""
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "2000",
    }
    running = start("--log-format", "json", "--log-level", "debug", env=env)
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.text


@pytest.fixture
def launch() -> Generator[Callable[..., LiveServer]]:
    """Start servers for one test: `launch("--model-type", "echo", env={…})`. Stops those that still run at its end."""
    started: list[LiveServer] = []

    def factory(
        *arguments: str,
        env: dict[str, str] | None = None,
        ready: float = READY_SECONDS,
        until: re.Pattern[str] = READY,
        terminal: bool = True,
    ) -> LiveServer:
        started.append(start(*arguments, env=env, ready=ready, until=until, terminal=terminal))
        return started[-1]

    yield factory
    codes = [running.stop() for running in started if running.process.poll() is None]
    assert codes == [0] * len(codes), "\n".join(running.log.text for running in started)
