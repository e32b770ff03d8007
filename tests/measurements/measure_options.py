"""One model served with several sets of options:
`python -m tests.measurements.measure_options MODEL --server NAME=OPTIONS …`.

All servers run at the same time. A round loads each of them once with every number of streams, so that what changes on
the machine meanwhile changes for all. Prints medians over the rounds, and each server's ratio to the first one with the
first number of streams and with its own. On two GPUs:

    python -m tests.measurements.measure_options MODEL --streams 1,8,64,128 --server one="--devices 0" \
      --server ranks="--tensor-parallel 2" --server replicas="--replicas 2 --devices 0,1"
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import statistics
import sys
import time
from pathlib import Path

from server.cli.bench.client import Workload
from server.cli.bench.load import LoadResult
from server.cli.bench.prompts import make_prompts
from server.cli.bench.servers import ServerFailed, free_port, running
from server.cli.bench.suite.client_processes import ClientProcesses
from server.cli.bench.suite.processes import launch

Cases = dict[tuple[str, int], list[LoadResult]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--server", action="append", required=True, metavar="NAME=OPTIONS", help="may be repeated")
    parser.add_argument("--streams", default="1,8", help="numbers of streams, such as 1,8,64")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--prompt-words", type=int, default=40)
    parser.add_argument("--logs", type=Path, default=Path("bench"))
    options = parser.parse_args()
    options.logs.mkdir(parents=True, exist_ok=True)
    streams = [int(number) for number in options.streams.split(",")]
    found: Cases = {}
    with contextlib.ExitStack() as stack:
        clients = stack.enter_context(ClientProcesses(max(streams)))
        servers = started(stack, options, max(streams))
        for number in range(options.rounds):
            for count in streams:
                for name, url in servers.items():
                    seed = 1_000_000 * (number + 1) + 1000 * count
                    prompts = make_prompts(seed, count, options.prompt_words)
                    workload = Workload(model="bench", prompts=prompts, max_tokens=options.max_tokens)
                    result = clients.load(url, workload, count)
                    say(f"round {number + 1}: {name}, {count} streams: {described([result])}")
                    found.setdefault((name, count), []).append(result)
        report(found)
    (options.logs / "options.json").write_text(json.dumps(figures(found), indent=1))


def started(stack: contextlib.ExitStack, options: argparse.Namespace, streams: int) -> dict[str, str]:
    """The URLs of the servers, each of which has answered once. One that does not start is left out."""
    urls: dict[str, str] = {}
    for given in options.server:
        name, _, flags = given.partition("=")
        port = free_port()
        command = [*launch(port), "--model-path", str(options.model), "--served-model-name", "bench"]
        command += ["--max-concurrency", str(streams), *shlex.split(flags)]
        begun = time.monotonic()
        url = f"http://127.0.0.1:{port}/v1"
        try:
            log = options.logs / f"{name}.log"
            stack.enter_context(running(command, ready_url=f"{url}/health/ready", log=log))
        except ServerFailed as error:
            say(f"{name} did not start: {error}")
            continue
        say(f"{name} is ready after {time.monotonic() - begun:.0f} s")
        urls[name] = url
    return urls


def described(results: list[LoadResult]) -> str:
    result = LoadResult.over_rounds(results)
    errors = f", {result.errors} failed: {result.first_error}" if result.errors else ""
    return (
        f"{result.tokens_per_second:.0f} tok/s, first token {1000 * result.first_token_p50:.0f} ms, "
        f"between tokens {1000 * result.inter_token_p50:.1f} ms{errors}"
    )


def report(found: Cases) -> None:
    speeds = {case: [result.tokens_per_second for result in results] for case, results in found.items()}
    base = next(iter(speeds))[0]
    for (name, count), own in speeds.items():
        ratios = [mine / first for mine, first in zip(own, speeds[base, count], strict=True)]
        listed = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{name:>12} {count:>4} streams: {described(found[name, count])}")
        print(f"{'':>12} ÷ {base} with as many: {statistics.median(ratios):.2f} ({listed})")


def figures(found: Cases) -> dict[str, list[float]]:
    """Tokens per second in each round."""
    return {f"{name} {count}": [each.tokens_per_second for each in found[name, count]] for name, count in found}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
