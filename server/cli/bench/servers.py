"""Server processes that the suite starts, waits for and ends."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from server.cli._signals import first_signal_ends

__all__ = ["ServerFailed", "free_port", "running"]


class ServerFailed(Exception):
    """Raised when a server ended or was not ready in time; the message holds the end of its log."""


def free_port() -> int:
    """A TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    ready_url: str,
    log: Path,
    timeout: float = 180.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` until the block ends; the block starts when `ready_url` returns 200.

    `timeout` is in seconds.

    Raises:
        ServerFailed: the process ended early or was not ready in time.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    with first_signal_ends():
        try:
            _wait_ready(process, ready_url, log, time.monotonic() + timeout)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path, deadline: float) -> None:
    # One client: making one takes 30 ms of processor time, of which the server's start would get less.
    with httpx.Client(timeout=2, trust_env=False) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServerFailed(f"{process.args!r} ended with {process.returncode}:\n{_tail(log)}")
            with contextlib.suppress(httpx.HTTPError):
                if client.get(url).status_code == 200:
                    return
            time.sleep(0.05)
    raise ServerFailed(f"{process.args!r} was not ready in time:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])
