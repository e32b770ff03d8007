"""A server that a command starts for itself, and ends when it is done."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import IO

from server.cli._output import fail, printable

__all__ = ["started"]

POLL_SECONDS = 0.2
STOP_SECONDS = 30.0


@contextmanager
def started(options: str) -> Generator[str]:
    """Run `launch` with these options, as one would type them, until the block ends. Yields the server's URL.

    Exits with the server's last line if it ends before it is ready.
    """
    try:
        given = shlex.split(options)
    except ValueError as error:
        fail(f"--launch: {error}")
    port = _free_port()
    command = [sys.executable, "-m", "server.cli", "launch", *given, "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        # In a session of its own, Ctrl-C reaches this process only, which ends the server after its request.
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_ready(server, url, log)
            yield url
        finally:
            _end(server)


def _wait_ready(server: subprocess.Popen[bytes], url: str, log: IO[bytes]) -> None:
    import httpx
    from rich.console import Console

    console = Console(stderr=True)
    status = console.status("Starting a server") if console.is_terminal else nullcontext()
    with status, httpx.Client(trust_env=False) as http:
        while server.poll() is None:
            try:
                if http.get(f"{url}/health", timeout=10.0).is_success:
                    return
            except httpx.HTTPError:
                pass  # it does not listen yet
            time.sleep(POLL_SECONDS)
    fail(f"the server did not start: {_last_line(log)}")


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return printable(lines[-1].strip().removeprefix("Error: ")) if lines else "it printed nothing"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
