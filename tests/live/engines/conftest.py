"""Embedded models in their own engine processes, without a server."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from providers.engine_host.frames import EngineInfo
from tests.live.engines.speaker import Speaker
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


@pytest.fixture(scope="session")
def speaker() -> Generator[Speaker]:
    client = Speaker()
    client.socket.settimeout(600)
    info = client.load("embedded:kokoro-82m", model_type="tts", max_concurrency=4)
    assert isinstance(info, EngineInfo), info
    assert len(info.details["voices"]) == 54
    yield client
    errors = client.close()
    assert "Traceback" not in errors
