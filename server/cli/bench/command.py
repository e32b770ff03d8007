"""`bench`: load against any OpenAI-compatible server, and the comparison behind docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from server.cli._output import INTERRUPTED, UNUSABLE, fail
from server.cli.bench.reporting.output import (
    NamedUrl,
    Numbers,
    Report,
    ServerUrl,
    compare_options,
    hold_debates,
    http_servers,
    report_options,
    run_sweep,
    size_options,
)

__all__ = ["bench"]

F = TypeVar("F", bound=Callable[..., Any])

PARTS = ("overhead", "grammar", "turns", "ready", "echo", "peers")
_EMBEDDED = "embedded:smollm2-135m-instruct"


@click.group()
def bench() -> None:
    """Measure servers: tokens per second, time to first token, gaps between tokens."""


_url = click.option(
    "--url", type=ServerUrl(), default="http://127.0.0.1:8000/v1", show_default=True, help="URL of the server."
)
_model = click.option("--model", default="default", show_default=True, metavar="NAME", help="Model to request.")
_api_key = click.option("--api-key", envvar="API_KEY", metavar="KEY", help="API key, if the server requires one.")
_model_path = click.option(
    "--model-path", default=_EMBEDDED, show_default=True, metavar="MODEL", help="MLX model to measure."
)


def _rounds(default: int) -> Callable[[F], F]:
    return click.option(
        "--rounds",
        type=click.IntRange(1, 50),
        default=default,
        show_default=True,
        help="Number of rounds; results are medians.",
    )


@bench.command()
@_url
@_model
@_api_key
@size_options
@click.option("--requests", type=click.IntRange(1, 10_000), help="Requests per size. Default: four per stream.")
@_rounds(1)
@compare_options
@report_options
def load(
    report: Report,
    url: str,
    model: str,
    api_key: str | None,
    streams: tuple[int, ...],
    prompt_words: tuple[int, ...],
    max_tokens: tuple[int, ...],
    shared_prefix: int,
    requests: int | None,
    rounds: int,
    compare: str | None,
    compare_model: str | None,
    compare_api_key: str | None,
) -> None:
    """Send streamed chats to one server, or to two in alternation, in every combination of the given sizes.

    Every prompt is different, so that a prefix cache helps only with the shared prefix (--shared-prefix).
    """
    servers = http_servers(url, model, api_key, compare, compare_model, compare_api_key)
    from server.cli.bench.sweep import Sweep, make_cases

    cases = make_cases(streams, prompt_words, max_tokens, requests=requests)
    run_sweep("load", Sweep(contenders=servers, cases=cases, rounds=rounds, shared_words=shared_prefix), report)


@bench.command()
@_url
@_model
@_api_key
@click.option("--turns", type=click.IntRange(1, 100), default=6, show_default=True, help="Statements per debater.")
@click.option("--max-tokens", type=click.IntRange(1, 8192), default=48, show_default=True, help="Tokens per statement.")
@click.option(
    "--sentences", type=click.IntRange(1, 10_000), default=72, show_default=True,
    help="Length of the brief in both prompts, in sentences of about 28 tokens.",
)  # fmt: skip
@_rounds(1)
@compare_options
@report_options
def debate(
    report: Report,
    url: str,
    model: str,
    api_key: str | None,
    turns: int,
    max_tokens: int,
    sentences: int,
    rounds: int,
    compare: str | None,
    compare_model: str | None,
    compare_api_key: str | None,
) -> None:
    """Run a debate of two debaters over one growing transcript: two interleaved conversations.

    For every turn it reports the prompt's length, the number of cached tokens and the time to the first token.
    """
    servers = http_servers(url, model, api_key, compare, compare_model, compare_api_key)
    from server.cli.bench.debates import Debates

    hold_debates(
        Debates(servers=servers, turns=turns, max_tokens=max_tokens, sentences=sentences, rounds=rounds), report
    )


@bench.command()
@_url
@_model
@_api_key
@click.option(
    "--sentences", type=click.IntRange(1, 10_000), default=144, show_default=True,
    help="Length of the prompt, in sentences of about 28 tokens.",
)  # fmt: skip
@click.option(
    "--stream-tokens", type=click.IntRange(2, 100_000), default=400, show_default=True,
    help="Length of the stream in tokens; it must last longer than the prompt's prefill.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
def interfere(url: str, model: str, api_key: str | None, sentences: int, stream_tokens: int, as_json: bool) -> None:
    """Send a long prompt while a stream is running, and measure the stream's gaps and the prompt's first token."""
    import asyncio

    import attrs
    import msgspec

    from server.cli.bench.interference import run_interference

    run = run_interference(url, model=model, sentences=sentences, stream_tokens=stream_tokens, api_key=api_key)
    try:
        found = asyncio.run(run)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    if found.error is not None:
        fail(found.error)
    if as_json:
        click.echo(msgspec.json.encode({**attrs.asdict(found), "ratio": found.ratio}))
        return
    click.echo(
        f"between tokens, quiet: p50 {found.quiet_p50:.3f} s, p95 {found.quiet_p95:.3f} s\n"
        f"while a prompt of {found.prompt_tokens} tokens arrives: p50 {found.disturbed_p50:.3f} s, "
        f"p95 {found.disturbed_p95:.3f} s ({found.ratio:.2f} times), at most {found.disturbed_max:.3f} s\n"
        f"the prompt's first token: {found.beside_first_token:.2f} s; "
        f"without the stream: {found.alone_first_token:.2f} s"
    )


@bench.command()
@_model_path
@size_options
@_rounds(3)
@compare_options
@report_options
def engine(
    report: Report,
    model_path: str,
    streams: tuple[int, ...],
    prompt_words: tuple[int, ...],
    max_tokens: tuple[int, ...],
    shared_prefix: int,
    rounds: int,
    compare: str | None,
    compare_model: str | None,
    compare_api_key: str | None,
) -> None:
    """Run the engine in-process, without a server: the upper bound for a server.

    All prompts of a batch start together. With --compare, a server gets the same prompts in alternation.
    """
    import tempfile

    from server.cli.bench.engine import EngineDriver
    from server.cli.bench.sweep import Contender, HttpServer, Sweep, make_cases

    if compare is None and compare_model is not None:
        fail("--compare-model has no effect without --compare", UNUSABLE)
    folder = _resolve(model_path)
    with tempfile.TemporaryDirectory() as logs, EngineDriver(folder, Path(logs, "engine.log")) as driver:
        contenders: list[Contender] = [driver]
        if compare is not None:
            model = compare_model or "default"
            contenders.append(HttpServer(name="HTTP", url=compare, model=model, api_key=compare_api_key))
        cases = make_cases(streams, prompt_words, max_tokens, per_stream=1)
        sweep = Sweep(contenders=contenders, cases=cases, rounds=rounds, shared_words=shared_prefix)
        run_sweep("engine", sweep, report)


@bench.command()
@_model_path
@click.option("--random", "shape", type=click.Choice(["7b", "tiny"]), help="Random weights of this shape instead.")
@click.option("--streams", type=Numbers(1, 1024), default="1,8", show_default=True, help="Sequences of a step.")
@click.option(
    "--context", type=click.IntRange(1, 100_000), default=576, show_default=True, help="Tokens before the step."
)
def step(model_path: str, shape: str | None, streams: tuple[int, ...], context: int) -> None:
    """Measure the parts of a decode step in-process: mlx-lm's, and the server's own.

    The floor is the number of bytes that a part has to read, over the bandwidth that a copy reaches.
    """
    from server.cli.bench.step import StepFailed, measure_step

    folder = str(_resolve(model_path)) if shape is None else None
    try:
        click.echo("step    sequences  part                  ms   floor")
        for whose, count, part, milliseconds, floor in measure_step(folder, shape, streams, context):
            least = "" if floor is None else f"{floor:8.2f}"
            click.echo(f"{whose:<7} {count:9}  {part:<14} {milliseconds:9.2f}{least}")
    except StepFailed as error:
        fail(str(error))


@bench.command()
@_model_path
@click.option("--streams", type=Numbers(1, 1024), default="1,4,8", show_default=True, help="Concurrent streams to try.")
@_rounds(3)
@click.option("--max-tokens", type=click.IntRange(1, 4096), default=64, show_default=True, help="Tokens per answer.")
@click.option("--prompt-words", type=click.IntRange(1, 20_000), default=40, show_default=True, help="Words per prompt.")
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Measure only this part; may be repeated. Default: all parts.",
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
    prompt_words: int,
    parts: tuple[str, ...],
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
    import attrs
    from rich.console import Console

    from server.cli.bench.engine import EngineFailed
    from server.cli.bench.reporting.report import as_json, to_markdown
    from server.cli.bench.servers import ServerFailed
    from server.cli.bench.suite.peers import run_peers
    from server.cli.bench.suite.results import SuiteOptions, SuiteResult
    from server.cli.bench.suite.run import run_suite

    result = SuiteResult()

    def write(result: SuiteResult) -> None:
        (output / "suite.json").write_bytes(as_json(result))
        (output / "suite.md").write_text(to_markdown(result))

    options = SuiteOptions(
        model=_resolve(model_path),
        streams=streams,
        rounds=rounds,
        max_tokens=max_tokens,
        prompt_words=prompt_words,
        parts=frozenset(parts or PARTS),
        peer_rounds=peer_rounds,
        peer_tokens=peer_tokens,
        peer_words=peer_words,
        peers=peers,
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
        with Console(stderr=True).status("starting") as status:
            for result in run_suite(options, output, status.update):
                write(result)
            if peer_rounds and "peers" in options.parts:
                result = attrs.evolve(result, peers=run_peers(options, output, status.update))
                write(result)
    except (EngineFailed, ServerFailed) as error:
        click.echo(to_markdown(result), nl=False)
        fail(str(error))
    except KeyboardInterrupt:
        click.echo(to_markdown(result), nl=False)
        fail("interrupted", INTERRUPTED)
    click.echo(to_markdown(result), nl=False)


def _resolve(model_path: str) -> Path:
    """The model's folder, fetched if necessary. From here on SIGTERM acts like Ctrl-C, so that the command ends the
    processes that it started."""
    import signal

    from providers.weights import WeightsError, resolve, terminal_progress

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with terminal_progress() as progress:
            return resolve(model_path, progress)
    except WeightsError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
