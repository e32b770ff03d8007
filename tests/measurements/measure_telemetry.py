"""Cost of telemetry per stream: `python -m tests.measurements.measure_telemetry model|echo [SECONDS]`.

Prints the tables of docs/observability.md. One server per telemetry configuration, all running together. Each round
sends requests to all of them, in a changing order. Ratios are to the server without telemetry in the same round; the
tables have their median. `model` streams the embedded model, as users do; `echo` has no model, so nearly all of its
work is the server's own: an upper bound. CPU is the worker's (the process that answers HTTP).
"""

from __future__ import annotations

import asyncio
import random
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
import httpx

from server.cli.bench.client import Workload
from server.cli.bench.load import LoadResult, run_load
from tests.live.client import chat
from tests.live.harness import LiveServer, start

STREAMS = 8
TOKENS = 32
OFF = "off"


@attrs.frozen(kw_only=True)
class Load:
    """The requests of one round to one server."""

    arguments: tuple[str, ...]
    requests: int
    alone: int
    """Number of short sequential requests that measure latency."""


LOADS = {
    "model": Load(arguments=(), requests=STREAMS, alone=0),
    "echo": Load(arguments=("--model-type", "echo"), requests=5 * STREAMS, alone=40),
}


@attrs.define
class Contender:
    """One server, and each round's tokens per second, CPU seconds per request, and median seconds of one request."""

    server: LiveServer
    rates: list[float] = attrs.field(factory=list)
    cpu: list[float] = attrs.field(factory=list)
    alone: list[float] = attrs.field(factory=list)

    def spent(self) -> float:
        times = self.server.worker().cpu_times()
        return float(times.user + times.system)

    def measure(self, load: Load, number: int) -> None:
        before = self.spent()
        result = ask(self.server, load.requests, STREAMS, number)
        self.rates.append(result.tokens_per_second)
        self.cpu.append((self.spent() - before) / load.requests)
        if load.alone:
            self.alone.append(alone(self.server, load.alone))


def alone(server: LiveServer, requests: int) -> float:
    """Median seconds of a short answer that is not streamed, with one request at a time on one connection."""
    with httpx.Client(trust_env=False) as client:
        answers = [client.post(f"{server.base_url}/chat/completions", json=chat("hello")) for _ in range(requests)]
    return statistics.median(answer.elapsed.total_seconds() for answer in answers)


def ask(server: LiveServer, requests: int, streams: int, number: int) -> LoadResult:
    prompts = tuple(f"{number} {place} " + "tell a long story " * (TOKENS // 4) for place in range(requests))
    workload = Workload(model="any", prompts=prompts, max_tokens=TOKENS)
    result = asyncio.run(run_load(server.base_url, workload, concurrency=streams, requests=requests))
    assert not result.errors, result.first_error
    return result


@contextmanager
def collector(seconds: float) -> Iterator[str]:
    """Run a collector that accepts everything and responds after `seconds`. Yields its endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            time.sleep(seconds)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Ignore clients that disconnected."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def contenders(load: Load) -> Iterator[dict[str, Contender]]:
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as bound:
        dead = f"http://127.0.0.1:{bound.getsockname()[1]}"
        bound.close()
        ways = {
            OFF: {"OTEL_SDK_DISABLED": "true"},
            "default": {},
            "OTLP": {"OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(collector(0))},
            "OTLP, no listener": {"OTEL_EXPORTER_OTLP_ENDPOINT": dead},
            "OTLP, 10 s an answer": {"OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(collector(10))},
        }
        with ThreadPoolExecutor(2) as pool:
            servers = [*pool.map(lambda env: start(*load.arguments, env=env), ways.values())]
        try:
            yield {way: Contender(server) for way, server in zip(ways, servers, strict=True)}
        finally:
            for server in servers:
                server.stop()


def measure(load: Load, seconds: float) -> None:
    with contenders(load) as found:
        for contender in found.values():
            ask(contender.server, 4 * STREAMS if load.alone else STREAMS, STREAMS, 0)
        order, number, end = list(found), 0, time.monotonic() + seconds
        while time.monotonic() < end:
            number += 1
            random.Random(number).shuffle(order)
            for way in order:
                found[way].measure(load, number)
        report(load, found)


def report(load: Load, found: dict[str, Contender]) -> None:
    off = found[OFF]
    print(f"{len(off.rates)} rounds of {load.requests} streams of {TOKENS} tokens, {STREAMS} at a time")
    for way, contender in found.items():
        ratios = sorted(mine / its for mine, its in zip(contender.rates, off.rates, strict=True))
        low, middle, high = ratios[len(ratios) // 4], statistics.median(ratios), ratios[-1 - len(ratios) // 4]
        line = (
            f"{way:22} {statistics.median(contender.rates):8.1f} tok/s, ratio {middle:.3f} ({low:.3f} to {high:.3f}), "
            f"{statistics.median(contender.cpu) * 1000:6.2f} ms of CPU a request"
        )
        print(line + (f", {statistics.median(contender.alone) * 1000:.2f} ms alone" if load.alone else ""))


if __name__ == "__main__":
    measure(LOADS[sys.argv[1]], float(sys.argv[2]) if len(sys.argv) > 2 else 120.0)
