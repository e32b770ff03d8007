"""The browser that the tests share. Failed tests report the logs of their servers, as live tests do."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.browser.chromium import end_shared
from tests.live.reports import pytest_runtest_makereport as pytest_runtest_makereport


@pytest.fixture(scope="session", autouse=True)
def browser_ends() -> Generator[None]:
    yield
    end_shared()
