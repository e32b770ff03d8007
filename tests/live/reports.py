"""The reports of failed tests: with what their servers have logged."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.live.harness import running_servers

__all__ = ["pytest_runtest_makereport"]

_LAST_LINES = 40


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last lines of each running server's log to the report of a failed test."""
    report = yield
    if report.failed:
        for server in running_servers():
            lines = server.log.text.splitlines()[-_LAST_LINES:]
            report.sections.append((f"log of {server.url}", "\n".join(lines)))
    return report
