"""Other servers under the same chat load as this one, all running at the same time and measured in alternation.

They are `mlx_lm.server` as installed and, on the Linux CPU, `mlx_lm.server` with this project's BLAS preloaded, and
with this project's float32 weights in addition. The options can name other servers that are already running.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from providers.engines.process import platform
from server.cli.bench.client import Workload
from server.cli.bench.engine import EngineDriver
from server.cli.bench.load import LoadResult
from server.cli.bench.prompts import make_prompts
from server.cli.bench.servers import free_port, running
from server.cli.bench.suite.results import Measured, SuiteOptions
from server.cli.bench.suite.run import load_once, own_server

__all__ = ["PREPARE", "run_peers"]

PREPARE = "from providers.engines.process import platform; platform.prepare()"
"""Python code that sets the process up like an engine: optimised BLAS, number of threads."""


@attrs.frozen(kw_only=True)
class _Peer:
    """A running server."""

    name: str
    url: str
    model: str = "default_model"
    slow: bool = False
    """True: it takes a second or two per token, of prompts too. It is measured only at the smallest number of streams,
    and without a warm-up, whose effect would not be visible."""


def run_peers(options: SuiteOptions, log_dir: Path, progress: Callable[[str], None]) -> tuple[Measured, ...]:
    """Measure the same chat load, smaller than the suite's, on this server and its peers."""
    results: dict[tuple[str, int], list[LoadResult]] = {}
    with contextlib.ExitStack() as stack:
        peers = _start(stack, options, log_dir, progress)
        for peer in peers:
            if not peer.slow:
                progress(f"peers: warming up {peer.name}")
                load_once(peer.url, Workload(model=peer.model, prompts=("Hello",), max_tokens=4), 1)
        for streams in options.streams:
            for number in range(options.peer_rounds):
                for peer in peers:
                    if peer.slow and streams > min(options.streams):
                        continue
                    progress(f"peers: {peer.name}, {streams} streams, round {number + 1} of {options.peer_rounds}")
                    prompts = make_prompts(5000 * streams + number, streams, options.peer_words)
                    workload = Workload(model=peer.model, prompts=prompts, max_tokens=options.peer_tokens)
                    results.setdefault((peer.name, streams), []).append(load_once(peer.url, workload, streams))
    return tuple(Measured.of(name, streams, found) for (name, streams), found in results.items())


def _start(
    stack: contextlib.ExitStack, options: SuiteOptions, log_dir: Path, progress: Callable[[str], None]
) -> list[_Peer]:
    progress("peers: starting")
    peers = [_Peer(name="this server", url=stack.enter_context(own_server(options, log_dir)), model="bench")]
    peers += [_Peer(name=name, url=url) for name, url in options.peers]

    def mlx_lm(name: str, model: Path, *, blas: bool, slow: bool) -> None:
        log = log_dir / f"{name.replace(', ', '-')}.log"
        peers.append(_Peer(name=name, url=stack.enter_context(_mlx_lm(model, log, blas=blas)), slow=slow))

    on_linux_cpu = platform.expected_device() == "cpu" and sys.platform == "linux"
    mlx_lm("mlx_lm.server", options.model, blas=False, slow=on_linux_cpu)
    if on_linux_cpu:
        with EngineDriver(options.model, log_dir / "widen.log") as engine:
            wide = engine.widen(log_dir / "float32")
        mlx_lm("mlx_lm.server, BLAS", options.model, blas=True, slow=True)
        mlx_lm("mlx_lm.server, BLAS, float32", wide, blas=True, slow=False)
    return peers


@contextlib.contextmanager
def _mlx_lm(model: Path, log: Path, *, blas: bool) -> Iterator[str]:
    """Run `mlx_lm.server` as installed or, with `blas`, in the environment of this project's engines."""
    port = free_port()
    program = "from mlx_lm.server import main; main()"
    if blas:
        program = f"{PREPARE}; {program}"
    command = [sys.executable, "-c", program, "--model", str(model), "--port", str(port)]
    with running(command, ready_url=f"http://127.0.0.1:{port}/health", log=log):
        yield f"http://127.0.0.1:{port}/v1"
