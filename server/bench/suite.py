"""The comparison behind docs/performance.md: everything measured in one run, in alternation, as ratios.

Three parts: the engine driven in-process against the same engine through HTTP; what the server adds to a request
that costs nothing (the echo model); and `mlx_lm.server` under the same chat load, as shipped, with this project's
BLAS preloaded, and with its float32 weights as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import httpx

from server.bench.client import Workload
from server.bench.engine import EngineDriver
from server.bench.load import LoadResult, percentile, run_load
from server.bench.servers import free_port, running

__all__ = ["Measured", "SuiteOptions", "SuiteResult", "run_suite"]

_WORDS = (
    "river mountain debate avatar voice garden winter signal music ocean history engine planet bridge market "
    "science forest window friend number silver morning language travel kitchen theory"
)


@attrs.frozen(kw_only=True)
class SuiteOptions:
    """What to run. `model` is a folder of MLX weights."""

    model: Path
    streams: tuple[int, ...] = (1, 4, 8)
    rounds: int = 3
    max_tokens: int = 64
    prompt_words: int = 40
    echo_requests: int = 300
    peer_rounds: int = 1
    """0 leaves the peers out. A round of theirs takes minutes: as shipped they run without an optimised BLAS."""


@attrs.frozen(kw_only=True)
class Measured:
    """One contender at one number of streams: the median over the rounds, and every round's tokens a second."""

    name: str
    streams: int
    tokens_per_second: float
    first_token_p50: float
    rounds: tuple[float, ...]
    errors: int = 0

    @classmethod
    def of(cls, name: str, streams: int, results: list[LoadResult]) -> Measured:
        return cls(
            name=name,
            streams=streams,
            tokens_per_second=statistics.median(r.tokens_per_second for r in results),
            first_token_p50=statistics.median(r.first_token_p50 for r in results),
            rounds=tuple(r.tokens_per_second for r in results),
            errors=sum(r.errors for r in results),
        )


@attrs.frozen(kw_only=True)
class SuiteResult:
    """`overhead` and `peers` in the order they ran; `echo_latency_ms` maps a percentile's name to milliseconds."""

    overhead: tuple[Measured, ...]
    echo_latency_ms: dict[str, float]
    peers: tuple[Measured, ...] = ()


def make_prompts(seed: int, count: int, words: int) -> tuple[str, ...]:
    """`count` different prompts that no prefix cache has seen and that small models answer at length."""
    rng = random.Random(seed)
    return tuple(
        f"Story {rng.randrange(10**6)}. Write a very long story with these words in it: "
        + ", ".join(rng.choices(_WORDS.split(), k=words))
        for _ in range(count)
    )


def run_suite(options: SuiteOptions, log_dir: Path, progress: Callable[[str], None]) -> SuiteResult:
    """Run every part. Logs of the servers go to `log_dir`; `progress` hears what runs now."""
    log_dir.mkdir(parents=True, exist_ok=True)
    overhead = _overhead(options, log_dir, progress)
    progress("echo: added latency")
    echo = asyncio.run(_echo(options, log_dir))
    peers = _peers(options, log_dir, progress) if options.peer_rounds else ()
    return SuiteResult(overhead=overhead, echo_latency_ms=echo, peers=peers)


def _overhead(options: SuiteOptions, log_dir: Path, progress: Callable[[str], None]) -> tuple[Measured, ...]:
    measured: list[Measured] = []
    warm_up = Workload(model="bench", prompts=("Hello",), max_tokens=4)
    with EngineDriver(options.model, log_dir / "engine.log") as engine, _own(options, log_dir) as url:
        engine.run(warm_up, 1)
        _load(url, warm_up, 1)
        for streams in options.streams:
            inside: list[LoadResult] = []
            through: list[LoadResult] = []
            for number in range(options.rounds):
                progress(f"engine against HTTP: {streams} streams, round {number + 1} of {options.rounds}")
                prompts = make_prompts(1000 * streams + number, streams, options.prompt_words)
                workload = Workload(model="bench", prompts=prompts, max_tokens=options.max_tokens)
                inside.append(engine.run(workload, streams))
                through.append(_load(url, workload, streams))
            measured += [Measured.of("in-process", streams, inside), Measured.of("HTTP", streams, through)]
    return tuple(measured)


def _peers(options: SuiteOptions, log_dir: Path, progress: Callable[[str], None]) -> tuple[Measured, ...]:
    results: dict[tuple[str, int], list[LoadResult]] = {}
    with contextlib.ExitStack() as stack:
        wide = stack.enter_context(EngineDriver(options.model, log_dir / "widen.log")).widen(log_dir / "float32")
        servers = {"this server": (stack.enter_context(_own(options, log_dir)), "bench")}
        for name, model, blas in (
            ("mlx_lm.server", options.model, False),
            ("mlx_lm.server, BLAS", options.model, True),
            ("mlx_lm.server, BLAS, float32", wide, True),
        ):
            log = log_dir / f"{name.replace(', ', '-')}.log"
            servers[name] = (stack.enter_context(_mlx_lm(model, log, blas=blas)), "default_model")
        for name, (url, model_name) in servers.items():
            progress(f"peers: warming up {name}")
            _load(url, Workload(model=model_name, prompts=("Hello",), max_tokens=4), 1)
        for streams in options.streams:
            for number in range(options.peer_rounds):
                for name, (url, model_name) in servers.items():
                    progress(f"peers: {name}, {streams} streams, round {number + 1} of {options.peer_rounds}")
                    prompts = make_prompts(5000 * streams + number, streams, options.prompt_words)
                    workload = Workload(model=model_name, prompts=prompts, max_tokens=options.max_tokens)
                    results.setdefault((name, streams), []).append(_load(url, workload, streams))
    return tuple(Measured.of(name, streams, found) for (name, streams), found in results.items())


async def _echo(options: SuiteOptions, log_dir: Path) -> dict[str, float]:
    """Milliseconds of a whole non-streamed request to the echo model, one at a time on one connection."""
    port = free_port()
    command = [*_launch(port), "--model-type", "echo", "--served-model-name", "echo"]
    base = f"http://127.0.0.1:{port}"
    body = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
    with running(command, ready_url=f"{base}/v1/health/ready", log=log_dir / "echo.log"):
        async with httpx.AsyncClient(trust_env=False) as client:
            times: list[float] = []
            for _ in range(options.echo_requests + 20):
                response = await client.post(f"{base}/v1/chat/completions", json=body)
                response.raise_for_status()
                times.append(response.elapsed.total_seconds() * 1000)
    warm = times[20:]
    return {"p50": percentile(warm, 50), "p95": percentile(warm, 95), "p99": percentile(warm, 99)}


def _load(url: str, workload: Workload, streams: int) -> LoadResult:
    return asyncio.run(run_load(url, workload, concurrency=streams, requests=streams))


def _launch(port: int) -> list[str]:
    return [sys.executable, "-m", "server.cli", "launch", "--port", str(port), "--log-level", "warning"]


@contextlib.contextmanager
def _own(options: SuiteOptions, log_dir: Path) -> Iterator[str]:
    port = free_port()
    command = [*_launch(port), "--model-path", str(options.model), "--served-model-name", "bench"]
    command += ["--max-concurrency", str(max(options.streams))]
    ready = f"http://127.0.0.1:{port}/v1/health/ready"
    with running(command, ready_url=ready, log=log_dir / "server.log"):
        yield f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def _mlx_lm(model: Path, log: Path, *, blas: bool) -> Iterator[str]:
    """`mlx_lm.server` as installed or, with `blas`, set up for MLX as this project's engines are."""
    port = free_port()
    program = "from mlx_lm.server import main; main()"
    if blas:
        program = f"from providers.engines import platform; platform.prepare(); {program}"
    command = [sys.executable, "-c", program, "--model", str(model), "--port", str(port)]
    with running(command, ready_url=f"http://127.0.0.1:{port}/health", log=log):
        yield f"http://127.0.0.1:{port}/v1"
