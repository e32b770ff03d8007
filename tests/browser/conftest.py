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
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveServer]:
    """The echo model, and one that hears, for the pages that leave their server as it was."""
    config = tmp_path_factory.mktemp("server") / "config.yaml"
    config.write_text("models:\n  - {model_type: echo, model_path: delay=0.01}\n  - {model_type: whisper}\n")
    running = start("--config", str(config))
    yield running
    assert running.stop() == 0, running.log.text
