"""Other servers under the same chat load as this one, all running at the same time and measured in alternation.

They are `mlx_lm.server` as installed and, on the Linux CPU, `mlx_lm.server` with this project's BLAS preloaded, and
with this project's float32 weights in addition. The options can name other servers that are already running.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import attrs

from providers.engines.process import platform
from server.cli.bench.client import Workload
from server.cli.bench.engine import EngineDriver
from server.cli.bench.load import LoadResult
from server.cli.bench.prompts import make_prompts
from server.cli.bench.suite.processes import load_once, mlx_lm_server, own_server
from server.cli.bench.suite.results import Measured, SuiteOptions

__all__ = ["run_peers"]


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
    server = own_server(options.model, max(options.streams), log_dir / "server.log")
    peers = [_Peer(name="this server", url=stack.enter_context(server), model="bench")]
    peers += [_Peer(name=name, url=url) for name, url in options.peers]

    def mlx_lm(name: str, model: Path, *, blas: bool, slow: bool) -> None:
        log = log_dir / f"{name.replace(', ', '-')}.log"
        peers.append(_Peer(name=name, url=stack.enter_context(mlx_lm_server(model, log, blas=blas)), slow=slow))

    on_linux_cpu = platform.expected_device() == "cpu" and sys.platform == "linux"
    mlx_lm("mlx_lm.server", options.model, blas=False, slow=on_linux_cpu)
    if on_linux_cpu:
        with EngineDriver(options.model, log_dir / "widen.log") as engine:
            wide = engine.widen(log_dir / "float32")
        mlx_lm("mlx_lm.server, BLAS", options.model, blas=True, slow=True)
        mlx_lm("mlx_lm.server, BLAS, float32", wide, blas=True, slow=False)
    return peers
