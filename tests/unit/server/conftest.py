"""Keeps the log of the tests quiet; a test that reads it captures it itself. Shares routes between applications."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

import server.app
from tests.unit.server.shared_routes import make_application


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture(autouse=True, scope="session")
def shared_routes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.app, "Application", make_application)
        yield
