"""The programs that the suite measures, each a process that runs as long as its block."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from server.cli.bench.client import Workload
from server.cli.bench.load import LoadResult, run_load
from server.cli.bench.servers import free_port, running

__all__ = ["PREPARE", "NotQuantised", "launch", "load_once", "mlx_lm_server", "own_server", "quantised"]

PREPARE = "from providers.engines.process import platform; platform.prepare()"
"""Python code that sets the process up like an engine: optimised BLAS, number of threads."""


class NotQuantised(Exception):
    """Raised when mlx-lm cannot quantise a model; the message holds the end of what it wrote."""


def load_once(url: str, workload: Workload, streams: int) -> LoadResult:
    """Send one request per stream, all concurrently."""
    return asyncio.run(run_load(url, workload, concurrency=streams, requests=streams))


def launch(port: int) -> list[str]:
    """The command that starts this server."""
    return [sys.executable, "-m", "server.cli", "launch", "--port", str(port), "--log-level", "warning"]


@contextlib.contextmanager
def own_server(model: Path, streams: int, log: Path) -> Iterator[str]:
    """Run this server with the model under the name `bench`, for this many streams; yields its URL, ending in `/v1`."""
    port = free_port()
    command = [*launch(port), "--model-path", str(model), "--served-model-name", "bench"]
    command += ["--max-concurrency", str(streams)]
    with running(command, ready_url=f"http://127.0.0.1:{port}/v1/health/ready", log=log):
        yield f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def mlx_lm_server(model: Path, log: Path, *, blas: bool = False, streams: int | None = None) -> Iterator[str]:
    """Run `mlx_lm.server` as installed or, with `blas`, in the environment of this project's engines.

    `streams`: the most answers that it may compute together, and the most connections that may wait to be accepted, of
    which it would otherwise drop all but five; None: its own defaults.
    """
    port = free_port()
    program = "from mlx_lm.server import main; main()"
    if streams is not None:
        program = f"import socketserver; socketserver.TCPServer.request_queue_size = {streams}; {program}"
    if blas:
        program = f"{PREPARE}; {program}"
    command = [sys.executable, "-c", program, "--model", str(model), "--port", str(port)]
    command += [] if streams is None else ["--decode-concurrency", str(streams)]
    with running(command, ready_url=f"http://127.0.0.1:{port}/health", log=log):
        yield f"http://127.0.0.1:{port}/v1"


def quantised(model: Path, bits: int, folder: Path, seconds: float | None) -> Path:
    """Quantise a model's weights by `mlx_lm.convert`, within `seconds`. Returns `folder`.

    Raises:
        NotQuantised: mlx-lm cannot do it, or not in time.
    """
    program = f"{PREPARE}; from mlx_lm import convert; convert({str(model)!r}, {str(folder)!r}, True, q_bits={bits})"
    command = [sys.executable, "-c", program]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise NotQuantised("mlx-lm did not end in time") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").splitlines()
        raise NotQuantised("\n".join(lines[-5:])) from None
    return folder
