"""What the server adds to a request: the echo model, beside the least that its web framework can do."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from server.cli.bench.load import percentile
from server.cli.bench.servers import free_port, running

__all__ = ["measure"]

ECHO, BARE = "echo model", "bare Granian and Litestar"
_BODY = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "hello"}]}).encode()
_PATH = "/v1/chat/completions"
_WARM_UP, _ROUNDS = 20, 5


def measure(launch: Sequence[str], port: int, requests: int, log_dir: Path) -> dict[str, dict[str, float]]:
    """Percentiles in milliseconds of whole requests, by server. One blocking connection to each, rounds in alternation.

    `launch` starts this server on `port`.
    """
    bare_port = free_port()
    program = [sys.executable, "-m", "granian", "--interface", "asgi", "--loop", "uvloop", "--log-level", "warning"]
    program += ["--no-ws", "--http", "1", "--port", str(bare_port), "server.cli.bench.suite.bare:app"]
    command = [*launch, "--model-type", "echo", "--served-model-name", "echo"]
    times: dict[str, list[float]] = {ECHO: [], BARE: []}
    with ExitStack() as stack:
        for words, at, path in ((command, port, "/v1/health/ready"), (program, bare_port, "/ready")):
            log = log_dir / f"added-{at}.log"
            stack.enter_context(running(words, ready_url=f"http://127.0.0.1:{at}{path}", log=log))
        clients = {ECHO: http.client.HTTPConnection("127.0.0.1", port, timeout=30)}
        clients[BARE] = http.client.HTTPConnection("127.0.0.1", bare_port, timeout=30)
        for client in clients.values():
            stack.callback(client.close)
            _times(client, _WARM_UP)
        for _ in range(_ROUNDS):
            for name, client in clients.items():
                times[name] += _times(client, -(-requests // _ROUNDS))
    return {
        name: {"p50": percentile(each, 50), "p95": percentile(each, 95), "p99": percentile(each, 99)}
        for name, each in times.items()
    }


def _times(client: http.client.HTTPConnection, count: int) -> list[float]:
    """Milliseconds of each request, from before it is sent until its answer is read."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        client.request("POST", _PATH, _BODY, {"Content-Type": "application/json"})
        response = client.getresponse()
        content = response.read()
        times.append((time.perf_counter() - started) * 1000)
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {content[:200]!r}")
    return times
