"""The tiny model, once per session; engine processes; and MLX without its compiler."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from providers.engine_host.frames import LoadFailed
from tests.unit.providers.engines.client import EngineClient

# Compiling kernels with g++ takes longer than every test here.
os.environ.setdefault("MLX_DISABLE_COMPILE", "1")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.unit.providers.engines import tiny

    return tiny.write_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def start() -> Generator[Callable[..., EngineClient]]:
    """Start engine processes. Those still running at the end are killed."""
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


@pytest.fixture(scope="session")
def engine(tiny_folder: Path) -> Generator[EngineClient]:
    """A tiny engine that tests share; it must end cleanly."""
    client = EngineClient()
    info = client.load(str(tiny_folder), max_concurrency=8)
    assert info.context_length == 512, info
    yield client
    errors = client.close()
    assert client.process.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.fixture(scope="session")
def roomy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with room for tools in its prompt."""
    from tests.unit.providers.engines import tiny

    return tiny.write_folder(tmp_path_factory.mktemp("roomy"), max_position_embeddings=4096)


@pytest.fixture(scope="package")
def roomy(roomy_folder: Path) -> Generator[EngineClient]:
    yield from _serving(roomy_folder)


@pytest.fixture(scope="package")
def thinker(roomy_folder: Path) -> Generator[EngineClient]:
    """An engine whose output may contain reasoning, between <think> and </think>."""
    yield from _serving(roomy_folder, reasoning_parser="think")


def _serving(folder: Path, **spec: Any) -> Generator[EngineClient]:
    client = EngineClient()
    info = client.load(str(folder), max_concurrency=8, **spec)
    assert not isinstance(info, LoadFailed), info
    yield client
    errors = client.close()
    assert client.process.returncode == 0, errors
    assert "Traceback" not in errors
