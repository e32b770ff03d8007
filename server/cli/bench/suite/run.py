"""The measurements in docs/performance.md, in one run, in alternation, as ratios.

It compares answers constrained by a grammar with free ones. It measures the first token of a conversation's second
turn, the time until a server is ready, and the latency that the server adds to a request to the echo model, which
computes nothing. `overhead` compares the engine in-process with the same engine through HTTP, and `peers` other servers
with this one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx

from server.cli.bench.client import Sample, Workload, stream_chat
from server.cli.bench.load import LoadResult, http_client
from server.cli.bench.prompts import make_prompts
from server.cli.bench.servers import free_port, running
from server.cli.bench.suite.added_latency import measure
from server.cli.bench.suite.overhead import Clock, measure_overhead
from server.cli.bench.suite.processes import launch, load_once, own_server
from server.cli.bench.suite.results import Measured, SuiteOptions, SuiteResult, Turns

__all__ = ["run_suite"]

_PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "city": {"enum": ["Paris", "Rome", "Oslo"]}},
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}
_FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "people",
        "schema": {
            "type": "object",
            # More than any max_tokens here can hold: every answer is as long as a free one.
            "properties": {"people": {"type": "array", "items": _PERSON, "minItems": 1000}},
            "required": ["people"],
        },
    },
}
_TURN_WORDS = 960
"""Words of the first turn: about 2,000 tokens of the embedded model."""


def run_suite(options: SuiteOptions, log_dir: Path, progress: Callable[[str], None]) -> Iterator[SuiteResult]:
    """Run every requested part except the peers. Yields the result so far after each of them, and after each load of
    the part `overhead`. The servers' logs go to `log_dir`; `progress` is called with a description of each step."""
    result = SuiteResult()
    if "overhead" in options.parts:
        for found in measure_overhead(options, log_dir, Clock(options.seconds), progress):
            yield (result := attrs.evolve(result, overhead=tuple(found.measured), notes=tuple(found.notes)))
    if options.parts & {"grammar", "turns"}:
        with own_server(options.model, max(options.streams), log_dir / "server.log") as url:
            load_once(url, Workload(model="bench", prompts=("Hello",), max_tokens=4), 1)
            if "grammar" in options.parts:
                yield (result := attrs.evolve(result, grammar=_grammar(options, url, progress)))
            if "turns" in options.parts:
                yield (result := attrs.evolve(result, turns=asyncio.run(_turns(options, url, progress))))
    if "ready" in options.parts:
        ready = tuple(_ready(number, log_dir, progress) for number in range(options.rounds))
        yield (result := attrs.evolve(result, ready_seconds=ready))
    if "echo" in options.parts:
        progress("echo: added latency")
        port = free_port()
        yield attrs.evolve(result, echo_latency_ms=measure(launch(port), port, options.echo_requests, log_dir))


def _grammar(options: SuiteOptions, url: str, progress: Callable[[str], None]) -> tuple[Measured, ...]:
    """Free and schema-constrained answers of the same length in alternation, at the largest number of streams."""
    streams = max(options.streams)
    free: list[LoadResult] = []
    held: list[LoadResult] = []
    load_once(url, attrs.evolve(_workload(options, 1, 1), parameters={"response_format": _FORM}, max_tokens=4), 1)
    for number in range(options.rounds):
        progress(f"JSON schema: {streams} streams, round {number + 1} of {options.rounds}")
        free.append(load_once(url, _workload(options, 20_000 + number, streams), streams))
        workload = _workload(options, 30_000 + number, streams)
        held.append(load_once(url, attrs.evolve(workload, parameters={"response_format": _FORM}), streams))
    return Measured.of("free", streams, free), Measured.of("JSON schema", streams, held)


async def _turns(options: SuiteOptions, url: str, progress: Callable[[str], None]) -> tuple[Turns, ...]:
    """Conversations of a long first turn and a short second one."""
    found: list[Turns] = []
    async with http_client(url, api_key=None, connections=1) as client:
        for number in range(options.rounds):
            progress(f"second turn: round {number + 1} of {options.rounds}")
            prompt, question = *make_prompts(40_000 + number, 1, _TURN_WORDS), "And how does the story end?"
            messages = [{"role": "user", "content": prompt}]
            first = await _say(client, url, messages)
            messages += [{"role": "assistant", "content": first.text}, {"role": "user", "content": question}]
            second = await _say(client, url, messages)
            found.append(
                Turns(
                    prompt_tokens=(first.prompt_tokens, second.prompt_tokens),
                    first_token_seconds=(first.first_token_seconds, second.first_token_seconds),
                )
            )
    return tuple(found)


async def _say(client: httpx.AsyncClient, url: str, messages: list[dict[str, Any]]) -> Sample:
    body = Workload(model="bench", prompts=("",), max_tokens=16).body(0)
    return await stream_chat(client, url, {**body, "messages": messages}, time.perf_counter())


def _ready(number: int, log_dir: Path, progress: Callable[[str], None]) -> float:
    """Seconds from the command to the first 200 of /v1/health/ready, with the embedded chat model."""
    progress(f"ready after launch: round {number + 1}")
    port = free_port()
    started = time.perf_counter()
    with running(launch(port), ready_url=f"http://127.0.0.1:{port}/v1/health/ready", log=log_dir / "ready.log"):
        return time.perf_counter() - started


def _workload(options: SuiteOptions, seed: int, streams: int) -> Workload:
    prompts = make_prompts(seed, streams, options.prompt_words[0])
    return Workload(model="bench", prompts=prompts, max_tokens=options.max_tokens)
