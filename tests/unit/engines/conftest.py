"""The tiny model, once a session; engine processes; and MLX without its compiler."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.unit.engines.client import EngineClient

# Compiling kernels with g++ takes longer than every test here.
os.environ.setdefault("MLX_DISABLE_COMPILE", "1")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.unit.engines import tiny

    return tiny.write_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def start() -> Generator[Callable[..., EngineClient]]:
    """Start engine processes of one's own; those still running are killed."""
    started: list[EngineClient] = []

    def factory(*arguments: str) -> EngineClient:
        started.append(EngineClient(*arguments))
        return started[-1]

    yield factory
    for client in started:
        if client.process.poll() is None:
            client.process.kill()
        client.process.communicate()
        client.socket.close()


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Generator[EngineClient]:
    """A tiny engine shared by a module's tests; it must end cleanly."""
    client = EngineClient()
    info = client.load(str(tiny_folder), max_concurrency=8)
    assert info.context_length == 512, info
    yield client
    errors = client.close()
    assert client.process.returncode == 0, errors
    assert "Traceback" not in errors
