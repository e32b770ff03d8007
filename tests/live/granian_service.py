"""An application of the tests on a real port, under granian without the command."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.live.client import PATIENCE, eventually
from tests.live.harness import Log, clean_environment

__all__ = ["serving"]


@contextmanager
def serving(factory: str) -> Generator[tuple[str, Log]]:
    """URL and log of the application that `factory` makes (`module:function`), once its models are ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("granian")),
            *("--interface", "asgi", "--factory", factory, "--port", str(port)),
        ],
        env=clean_environment(PYTHONPATH=str(Path(__file__).parents[2])),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    log = Log(process)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(url + "/health", timeout=PATIENCE).status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(answers, every=0.1)
        yield url, log
    finally:
        process.terminate()
        process.wait(PATIENCE)
