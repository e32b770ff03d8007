"""The browser and the server that tests share. Failed tests report the logs of their servers, as live tests do."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.browser.chromium import end_shared
from tests.live.harness import LiveServer, start
from tests.live.reports import pytest_runtest_makereport as pytest_runtest_makereport


@pytest.fixture(scope="session", autouse=True)
def browser_ends() -> Generator[None]:
    yield
    end_shared()


@pytest.fixture(scope="session")
def server() -> Generator[LiveServer]:
    """The echo model, for the pages that leave its server as it was."""
    running = start("--model-type", "echo", "--model-path", "delay=0.01")
    yield running
    assert running.stop() == 0, running.log.text
