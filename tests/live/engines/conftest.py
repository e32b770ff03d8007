"""The embedded chat model in its own engine process, without a server."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.unit.providers.engines.client import EngineClient


@pytest.fixture(scope="session")
def engine() -> Generator[EngineClient]:
    client = EngineClient()
    # Loading takes longer than any answer: the weights may be downloaded first.
    client.socket.settimeout(600)
    info = client.load("embedded:smollm2-135m-instruct", max_concurrency=8)
    assert info.context_length == 8192, info
    yield client
    errors = client.close()
    assert client.process.returncode == 0, errors
    assert "Traceback" not in errors
