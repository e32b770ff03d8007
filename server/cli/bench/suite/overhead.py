"""The part `overhead`: chats through HTTP beside the bare engine and, if wanted, beside other servers.

All contenders of the same weights run at the same time. A round is one load of each of them in every case, so that a
run which ends early has measured every case before it measures one again. A contender that does not start, fails or
answers with errors is left out from then on, and a note says why.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import attrs

from server.cli.bench.client import Workload
from server.cli.bench.engine import EngineDriver, EngineFailed
from server.cli.bench.load import LoadResult
from server.cli.bench.prompts import make_prompts
from server.cli.bench.servers import ServerFailed
from server.cli.bench.suite.client_processes import ClientProcesses
from server.cli.bench.suite.processes import NotQuantised, mlx_lm_server, own_server, quantised
from server.cli.bench.suite.results import HTTP, IN_PROCESS, Measured, SuiteOptions

__all__ = ["Clock", "Contender", "Overhead", "Progress", "measure_overhead", "rounds_of"]

_LEAST_SECONDS = 20.0
"""No further weights are loaded when less time is left."""


class Clock:
    """The time that a run has left, on `time.monotonic`'s clock."""

    def __init__(self, seconds: float | None) -> None:
        """`seconds`: None for no bound."""
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds; None: there is no bound."""
        return None if self._end is None else self._end - time.monotonic()

    def share(self, parts: int) -> Clock:
        """A clock for one of `parts` equal parts of the time that is left."""
        return Clock(None if self.left is None else self.left / parts)

    def has(self, seconds: float) -> bool:
        """Whether as many seconds are left."""
        return self.left is None or self.left >= seconds


class Contender(Protocol):
    """What is loaded with chats."""

    @property
    def name(self) -> str: ...

    def load(self, workload: Workload, streams: int) -> LoadResult:
        """Send one chat per stream, all together. The workload's model is another one's name.

        Raises:
            EngineFailed: it is an engine, which failed.
        """


@attrs.frozen
class _Engine:
    """The bare engine, in a child process."""

    driver: EngineDriver
    name: str = IN_PROCESS

    def load(self, workload: Workload, streams: int) -> LoadResult:
        return self.driver.run(workload, streams, streams)


@attrs.frozen
class _Server:
    name: str
    url: str
    model: str
    clients: ClientProcesses

    def load(self, workload: Workload, streams: int) -> LoadResult:
        return self.clients.load(self.url, attrs.evolve(workload, model=self.model), streams)


@attrs.define
class Overhead:
    """What has been measured so far."""

    measured: list[Measured] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)


Progress = Callable[[str], None]


def measure_overhead(options: SuiteOptions, log_dir: Path, clock: Clock, progress: Progress) -> Iterator[Overhead]:
    """Measure every case with every kind of weights. Yields what has been measured after each load."""
    found = Overhead()
    variants: list[int | None] = [None, *options.bits]
    for number, bits in enumerate(variants):
        weights = "as given" if bits is None else f"{bits} bits"
        if number and not clock.has(_LEAST_SECONDS):
            found.notes.append(f"{weights}: not measured, the time is over")
            break
        share = clock.share(len(variants) - number)
        before = found.measured
        with contextlib.ExitStack() as stack:
            try:
                model = options.model
                if bits is not None:
                    progress(f"overhead: quantising to {weights}")
                    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mlx-openai-server-bench-"))
                    model = quantised(options.model, bits, Path(folder, "model"), share.left)
            except NotQuantised as error:
                found.notes.append(f"{weights}: not measured, mlx-lm cannot quantise the model: {error}")
                continue
            contenders = _start_all(stack, options, model, weights, log_dir, found.notes, progress)
            for measured in rounds_of(contenders, options, weights, share, found.notes, progress):
                found.measured = [*before, *measured]
                yield found
    yield found


def _start_all(
    stack: contextlib.ExitStack,
    options: SuiteOptions,
    model: Path,
    weights: str,
    log_dir: Path,
    notes: list[str],
    progress: Progress,
) -> list[Contender]:
    """Start all contenders, and warm them up. They end with the stack."""
    most, label = max(options.streams), weights.replace(" ", "-")
    contenders: list[Contender] = []
    clients = stack.enter_context(ClientProcesses(most))

    def start(name: str, make: Callable[[], Contender]) -> None:
        progress(f"overhead: starting {name}, weights {weights}")
        try:
            contender = make()
        except ServerFailed as error:
            notes.append(f"{name}, weights {weights}: left out, it did not start: {error}")
            return
        result = _loaded(contender, Workload(model="", prompts=("Hello",), max_tokens=4), 1)
        if isinstance(result, str):
            notes.append(f"{name}, weights {weights}: left out, it does not answer: {result}")
        else:
            contenders.append(contender)

    def engine() -> Contender:
        return _Engine(stack.enter_context(EngineDriver(model, log_dir / f"engine-{label}.log")))

    def server() -> Contender:
        url = stack.enter_context(own_server(model, most, log_dir / f"server-{label}.log"))
        return _Server(HTTP, url, "bench", clients)

    def mlx_lm() -> Contender:
        url = stack.enter_context(mlx_lm_server(model, log_dir / f"mlx_lm-{label}.log", streams=most))
        return _Server("mlx_lm.server", url, "default_model", clients)

    start(IN_PROCESS, engine)
    start(HTTP, server)
    if options.beside_mlx_lm:
        start("mlx_lm.server", mlx_lm)
    return contenders


def rounds_of(
    contenders: list[Contender],
    options: SuiteOptions,
    weights: str,
    clock: Clock,
    notes: list[str],
    progress: Progress,
) -> Iterator[list[Measured]]:
    """Load every contender in every case, round after round, until the rounds or the time are over.

    Yields what has been measured after each load.
    """
    left = list(contenders)
    results: dict[tuple[int, int, str], list[LoadResult]] = {}
    for number, (words, streams) in itertools.product(range(options.rounds), _cases(options)):
        for contender in tuple(left):
            if not clock.has(0):
                notes.append(f"weights {weights}: the time was over in round {number + 1} of {options.rounds}")
                return
            what = f"{contender.name}, weights {weights}, {words} words, {streams} streams"
            prompts = make_prompts(1_000_000 * number + 1000 * streams + words, streams, words)
            result = _loaded(contender, Workload(model="", prompts=prompts, max_tokens=options.max_tokens), streams)
            if isinstance(result, str):
                notes.append(f"{what}: left out from round {number + 1} on: {result}")
                left.remove(contender)
                continue
            progress(f"overhead: round {number + 1} of {options.rounds}: {what}: {result.tokens_per_second:.0f} tok/s")
            results.setdefault((words, streams, contender.name), []).append(result)
            yield [
                Measured.of(name, streams, found, weights=weights, prompt_words=words)
                for (words, streams, name), found in results.items()
            ]


def _cases(options: SuiteOptions) -> list[tuple[int, int]]:
    """Words per prompt and numbers of streams."""
    cases = itertools.product(options.prompt_words, options.streams)
    most = options.most_words
    return [(words, streams) for words, streams in cases if most is None or words * streams <= most]


def _loaded(contender: Contender, workload: Workload, streams: int) -> LoadResult | str:
    """The result of a load, or why there is none."""
    try:
        result = contender.load(workload, streams)
    except EngineFailed as error:
        return str(error)
    return result if not result.errors else f"{result.errors} answers failed: {result.first_error}"
