"""One load at several sizes, against one contender or against two in alternation."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from server.cli.bench.client import Sample, Workload
from server.cli.bench.load import LoadResult, run_load
from server.cli.bench.prompts import make_prompts, shared_prefix

__all__ = ["Case", "Contender", "HttpServer", "Run", "Sweep", "Unusable", "make_cases"]


class Unusable(Exception):
    """Raised when no request of a run was answered; the message holds the first error."""


class Contender(Protocol):
    """A server or engine to measure."""

    @property
    def name(self) -> str:
        """Name in tables, unique in a sweep."""

    @property
    def model(self) -> str:
        """The model to request."""

    def run(self, workload: Workload, streams: int, requests: int, on_done: Callable[[Sample], None]) -> LoadResult:
        """Send `requests` requests, `streams` at a time. `on_done` is called with each sample when its request ends."""


@attrs.frozen(kw_only=True)
class HttpServer:
    """An OpenAI-compatible server."""

    name: str
    url: str
    """URL ending in `/v1`."""
    model: str
    api_key: str | None = attrs.field(default=None, repr=False)

    def run(self, workload: Workload, streams: int, requests: int, on_done: Callable[[Sample], None]) -> LoadResult:
        load = run_load(
            self.url, workload, concurrency=streams, requests=requests, api_key=self.api_key, on_done=on_done
        )
        return asyncio.run(load)


@attrs.frozen(kw_only=True)
class Case:
    """One size of load."""

    streams: int
    prompt_words: int
    max_tokens: int
    requests: int


def make_cases(
    streams: Sequence[int],
    prompt_words: Sequence[int],
    max_tokens: Sequence[int],
    *,
    requests: int | None = None,
    per_stream: int = 4,
) -> list[Case]:
    """All combinations; the number of streams changes fastest. Each has `requests` requests, by default `per_stream`
    per stream."""
    return [
        Case(streams=count, prompt_words=words, max_tokens=tokens, requests=requests or per_stream * count)
        for words, tokens, count in itertools.product(prompt_words, max_tokens, streams)
    ]


@attrs.frozen(kw_only=True)
class Run:
    """Result of one contender in one case and round."""

    contender: str
    case: Case
    round: int
    result: LoadResult
    complete: bool = True
    """False: the run was interrupted, and `result` covers the requests that had ended."""


@attrs.define(kw_only=True)
class Sweep:
    """A measurement of every case, round by round, with each contender in turn; the order alternates between rounds.

    Every round has its own prompts, the same for every contender, so that a cache helps only with `shared_words`.
    """

    contenders: Sequence[Contender]
    cases: Sequence[Case]
    rounds: int = 1
    shared_words: int = 0
    """Length in words of a system message that every request has."""
    on_start: Callable[[str], None] = lambda _: None
    """Called with a description of the step that starts."""
    on_done: Callable[[], None] = lambda: None
    """Called when a request ends."""
    runs: list[Run] = attrs.field(factory=list, init=False)
    """Results so far, also after an interruption."""

    @property
    def total_requests(self) -> int:
        return sum(case.requests for case in self.cases) * self.rounds * len(self.contenders)

    def measure(self) -> None:
        """Warm each contender up with a short request that does not count, then run all cases.

        Raises:
            Unusable: a contender answered no request of a run; the remaining runs were skipped.
        """
        for contender in self.contenders:
            self.on_start(f"{contender.name}: warming up")
            hello = Workload(model=contender.model, prompts=("Hello",), max_tokens=4)
            _check(contender, contender.run(hello, 1, 1, lambda _: None))
        for number, case in enumerate(self.cases):
            for round_number in range(self.rounds):
                turns = self.contenders if round_number % 2 == 0 else self.contenders[::-1]
                for contender in turns:
                    self._run(contender, case, round_number, seed=1000 * number + round_number)

    def _run(self, contender: Contender, case: Case, round_number: int, seed: int) -> None:
        self.on_start(_in_words(contender.name, case, round_number, self.rounds))
        samples: list[Sample] = []

        def done(sample: Sample) -> None:
            samples.append(sample)
            self.on_done()

        workload = Workload(
            model=contender.model,
            prompts=make_prompts(seed, case.requests, case.prompt_words),
            system=shared_prefix(self.shared_words),
            max_tokens=case.max_tokens,
        )
        record = functools.partial(Run, contender=contender.name, case=case, round=round_number)
        try:
            result = contender.run(workload, case.streams, case.requests, done)
        except KeyboardInterrupt:
            if samples:
                partial = LoadResult.of(case.streams, samples, case.max_tokens)
                self.runs.append(record(result=partial, complete=False))
            raise
        self.runs.append(record(result=result))
        _check(contender, result)


def _check(contender: Contender, result: LoadResult) -> None:
    if result.errors == result.requests:
        raise Unusable(f"{contender.name} answered no request: {result.first_error}")


def _in_words(name: str, case: Case, round_number: int, rounds: int) -> str:
    streams = f"{case.streams} stream{'s' if case.streams > 1 else ''}"
    sizes = f"{case.prompt_words} words, {case.max_tokens} tokens"
    return f"{name}: {streams}, {sizes}" + (f", round {round_number + 1} of {rounds}" if rounds > 1 else "")
