"""`bench suite`."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import rich_click as click

from server.cli._output import INTERRUPTED, fail
from server.cli.bench.model_options import model_path_option, resolve_model, rounds_option
from server.cli.bench.reporting.output import NamedUrl, Numbers

if TYPE_CHECKING:
    from server.cli.bench.suite.results import SuiteOptions, SuiteResult

__all__ = ["suite"]

PARTS = ("overhead", "grammar", "turns", "ready", "echo", "peers")


@click.command()
@model_path_option
@click.option("--streams", type=Numbers(1, 1024), default="1,4,8", show_default=True, help="Concurrent streams to try.")
@rounds_option(3)
@click.option("--max-tokens", type=click.IntRange(1, 4096), default=64, show_default=True, help="Tokens per answer.")
@click.option(
    "--prompt-words",
    type=Numbers(1, 20_000),
    default="40",
    show_default=True,
    help="Words per prompt. The part overhead measures each of several lengths, the others only the first.",
)
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Measure only this part; may be repeated. Default: all parts.",
)
@click.option(
    "--bits",
    type=Numbers(2, 8),
    default=None,
    panel="Overhead",
    help="Also measure the weights quantised by mlx-lm to this number of bits, such as 4.",
)
@click.option(
    "--mlx-lm/--no-mlx-lm",
    "beside_mlx_lm",
    panel="Overhead",
    help="Also measure mlx_lm.server, in the same rounds.",
)
@click.option(
    "--most-words",
    type=click.IntRange(1),
    panel="Overhead",
    help="Leave out cases with more words than this in the prompts of all streams together.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="Bound on the whole run: it ends with what has been measured by then. Default: none.",
)
@click.option(
    "--peer-rounds",
    type=click.IntRange(0, 50),
    default=1,
    show_default=True,
    panel="Peers",
    help="Rounds with the peers; 0 skips them.",
)
@click.option(
    "--peer-tokens",
    type=click.IntRange(1, 4096),
    default=16,
    show_default=True,
    panel="Peers",
    help="Tokens per answer of a peer.",
)
@click.option(
    "--peer-words",
    type=click.IntRange(1, 20_000),
    default=8,
    show_default=True,
    panel="Peers",
    help="Words per prompt to a peer.",
)
@click.option(
    "--peer",
    "peers",
    type=NamedUrl(),
    multiple=True,
    panel="Peers",
    help="Another running server, such as llama.cpp=http://127.0.0.1:8080/v1; may be repeated.",
)
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), default=Path("bench"), show_default=True,
    help="Folder for the logs, suite.json and suite.md.",
)  # fmt: skip
def suite(
    model_path: str,
    streams: tuple[int, ...],
    rounds: int,
    max_tokens: int,
    prompt_words: tuple[int, ...],
    parts: tuple[str, ...],
    bits: tuple[int, ...] | None,
    beside_mlx_lm: bool,
    most_words: int | None,
    minutes: float | None,
    peer_rounds: int,
    peer_tokens: int,
    peer_words: int,
    peers: tuple[tuple[str, str], ...],
    output: Path,
) -> None:
    """Measure everything in docs/performance.md that names `bench suite`, in one run.

    It compares the engine in-process with HTTP, measures the latency that the server adds, and puts other servers
    under the same load. It starts and ends its servers itself and takes several minutes; the machine should be quiet.
    """
    from server.cli.bench.reporting.report import as_json, to_markdown
    from server.cli.bench.suite.results import SuiteOptions

    options = SuiteOptions(
        model=resolve_model(model_path),
        streams=streams,
        rounds=rounds,
        max_tokens=max_tokens,
        prompt_words=prompt_words,
        bits=bits or (),
        beside_mlx_lm=beside_mlx_lm,
        most_words=most_words,
        seconds=None if minutes is None else 60 * minutes,
        parts=frozenset(parts or PARTS),
        peer_rounds=peer_rounds,
        peer_tokens=peer_tokens,
        peer_words=peer_words,
        peers=peers,
    )
    output.mkdir(parents=True, exist_ok=True)

    def write(result: SuiteResult) -> None:
        (output / "suite.json").write_bytes(as_json(result))
        (output / "suite.md").write_text(to_markdown(result))

    result, error = _measured(options, output, write)
    click.echo(to_markdown(result), nl=False)
    for note in result.notes:
        click.echo(f"Note: {note}", err=True)
    if error is not None:
        fail(*error)
    if "overhead" in options.parts and not result.overhead:
        fail("nothing was measured of the part overhead")


def _measured(
    options: SuiteOptions, output: Path, write: Callable[[SuiteResult], None]
) -> tuple[SuiteResult, tuple[str, int] | None]:
    """Everything that could be measured; where that is not all, the message and the exit status."""
    import attrs

    from server.cli.bench.engine import EngineFailed
    from server.cli.bench.servers import ServerFailed
    from server.cli.bench.suite.peers import run_peers
    from server.cli.bench.suite.results import SuiteResult
    from server.cli.bench.suite.run import run_suite

    result = SuiteResult()
    try:
        with _progress() as progress, _time_limit(options.seconds):
            for result in run_suite(options, output, progress):
                write(result)
            if options.peer_rounds and "peers" in options.parts:
                result = attrs.evolve(result, peers=run_peers(options, output, progress))
                write(result)
    except (EngineFailed, ServerFailed) as error:
        return result, (str(error), 1)
    except _TimeIsOver:
        result = attrs.evolve(result, notes=(*result.notes, "the time was over before everything was measured"))
        write(result)
    except KeyboardInterrupt:
        return result, ("interrupted", INTERRUPTED)
    return result, None


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A function that shows each step: in place on a terminal, elsewhere in lines with the seconds since the start."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("starting") as status:
            yield status.update
        return
    started = time.monotonic()
    yield lambda step: click.echo(f"{time.monotonic() - started:6.1f} s  {step}", err=True)


class _TimeIsOver(KeyboardInterrupt):
    """Ends a run that hangs. Only this kind of exception leaves an event loop wherever it is raised."""


@contextlib.contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `_TimeIsOver` in the block that many seconds from now."""
    if seconds is None:
        yield
        return

    def end(*_: object) -> NoReturn:
        raise _TimeIsOver

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
