"""Which event loops the tests of the engine's host run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import structlog.testing

from tests.unit.providers.engine_host.clock import ClockLoop
from tests.unit.providers.engine_host.in_memory import Engines


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The host and its process run on a clock that the test does not wait for."""
    if item.path.match("test_host_*.py") or item.path.match("test_process*.py"):
        return {"clock": ClockLoop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    """Engines in memory. The host reads the loop's clock."""
    monkeypatch.setattr("providers.engine_host.host.monotonic", asyncio.get_running_loop().time)
    return Engines()


@pytest.fixture
def logs() -> Iterator[list[dict[str, object]]]:
    """The log lines of the test."""
    with structlog.testing.capture_logs() as lines:
        yield lines
