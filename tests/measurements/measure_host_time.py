"""Processor time that a chat over HTTP takes in each thread, where the model takes next to none:
`python -m tests.measurements.measure_host_time [--streams 1,32,128] [--rounds 5] [--model FOLDER]`.

Starts a server with a model of two narrow layers and sends it chats that arrive together, from this process. For the
server's worker and the threads of its engine it prints milliseconds of processor time per request, and microseconds per
token: a first run of answers of one token gives the first, the difference to long answers the second. Only on Linux,
whose /proc/PID/task/TID/schedstat counts nanoseconds. Processor time hardly depends on what else the machine runs.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from server.cli.bench.client import Workload
from server.cli.bench.load import LoadResult
from server.cli.bench.prompts import make_prompts
from server.cli.bench.servers import free_port, running
from server.cli.bench.suite.processes import load_once

WORKER = ("worker: event loop", "worker: input and output")
ENGINE = ("engine: intake", "engine: writer", "engine: MLX thread", "engine: MLX computes")
"""Threads in the order in which they start. The last name is for all others too."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", default="1,32,128")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--words", type=int, default=235)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    streams = [int(number) for number in options.streams.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        model = options.model or scratch / "model"
        if options.model is None:
            make = [sys.executable, "-m", "tests.measurements.random_model", str(model), "--like", "tiny"]
            subprocess.run(make, check=True)
        port = free_port()
        command = [sys.executable, "-m", "server.cli", "launch", "--port", str(port), "--log-level", "warning"]
        command += ["--model-path", str(model), "--served-model-name", "m", "--max-concurrency", str(max(streams))]
        ready = f"http://127.0.0.1:{port}/v1/health/ready"
        with running(command, ready_url=ready, log=scratch / "log") as process:
            url = f"http://127.0.0.1:{port}/v1"
            send(url, 1, max(streams), 2, options.words)
            print("streams  thread                  ms/request  us/token   first token p50, p95 (s)")
            for count in streams:
                table(process.pid, url, count, options)


def table(pid: int, url: str, streams: int, options: argparse.Namespace) -> None:
    short: list[Counter[str]] = []
    long: list[Counter[str]] = []
    results: list[LoadResult] = []
    for number in range(options.rounds):
        for tokens, found in ((1, short), (options.tokens, long)):
            before = spent(pid)
            result = send(url, 10_000 * streams + 10 * number + tokens, streams, tokens, options.words)
            time.sleep(0.3)  # what follows the answers: prompts to keep, spans to export
            after = spent(pid)
            found.append(Counter({name: after[name] - before[name] for name in after}))
        results.append(result)
    first = f"{statistics.median(r.first_token_p50 for r in results):.3f}"
    first += f", {statistics.median(r.first_token_p95 for r in results):.3f}"
    for name in sorted(long[0]):
        once = statistics.median(each[name] for each in short)
        more = statistics.median(each[name] for each in long) - once
        per_token = more / streams / (options.tokens - 1)
        print(f"{streams:7}  {name:<24}{once / streams / 1e6:10.2f}{per_token / 1e3:10.1f}   {first}")
        first = ""


def send(url: str, seed: int, streams: int, tokens: int, words: int) -> LoadResult:
    prompts = make_prompts(seed, streams, words)
    result = load_once(url, Workload(model="m", prompts=prompts, max_tokens=tokens), streams)
    assert not result.errors, result.first_error
    return result


def spent(pid: int) -> Counter[str]:
    """Nanoseconds of processor time by thread, of the processes that `launch` started.

    Threads have no names there, but their numbers ascend in the order in which they started.
    """
    found: Counter[str] = Counter()
    for process in psutil.Process(pid).children(recursive=True):
        if "multiprocessing.resource_tracker" in " ".join(process.cmdline()):
            continue
        engine = "providers.engines" in process.cmdline()
        for place, thread in enumerate(sorted(thread.id for thread in process.threads())):
            with contextlib.suppress(FileNotFoundError):  # a thread that has ended
                words = Path(f"/proc/{process.pid}/task/{thread}/schedstat").read_text().split()
                names = ENGINE if engine else WORKER
                found[names[min(place, len(names) - 1)]] += int(words[0])
    return found


if __name__ == "__main__":
    main()
