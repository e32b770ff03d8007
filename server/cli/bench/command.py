"""`bench`: load against any OpenAI-compatible server, and the comparison behind docs/performance.md."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from server.cli._output import INTERRUPTED, UNUSABLE, fail
from server.cli.bench.model_options import model_path_option, resolve_model, rounds_option
from server.cli.bench.reporting.output import (
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
from server.cli.bench.simulate.command import simulate
from server.cli.bench.suite.command import suite

__all__ = ["bench"]


@click.group()
def bench() -> None:
    """Measure servers: tokens per second, time to first token, gaps between tokens."""


_url = click.option(
    "--url", type=ServerUrl(), default="http://127.0.0.1:8000/v1", show_default=True, help="URL of the server."
)
_model = click.option("--model", default="default", show_default=True, metavar="NAME", help="Model to request.")
_api_key = click.option("--api-key", envvar="API_KEY", metavar="KEY", help="API key, if the server requires one.")


@bench.command()
@_url
@_model
@_api_key
@size_options
@click.option("--requests", type=click.IntRange(1, 10_000), help="Requests per size. Default: four per stream.")
@rounds_option(1)
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
@rounds_option(1)
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
@model_path_option
@size_options
@rounds_option(3)
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
    folder = resolve_model(model_path)
    with tempfile.TemporaryDirectory() as logs, EngineDriver(folder, Path(logs, "engine.log")) as driver:
        contenders: list[Contender] = [driver]
        if compare is not None:
            model = compare_model or "default"
            contenders.append(HttpServer(name="HTTP", url=compare, model=model, api_key=compare_api_key))
        cases = make_cases(streams, prompt_words, max_tokens, per_stream=1)
        sweep = Sweep(contenders=contenders, cases=cases, rounds=rounds, shared_words=shared_prefix)
        run_sweep("engine", sweep, report)


@bench.command()
@model_path_option
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

    folder = str(resolve_model(model_path)) if shape is None else None
    try:
        click.echo("step    sequences  part                  ms   floor")
        for whose, count, part, milliseconds, floor in measure_step(folder, shape, streams, context):
            least = "" if floor is None else f"{floor:8.2f}"
            click.echo(f"{whose:<7} {count:9}  {part:<14} {milliseconds:9.2f}{least}")
    except StepFailed as error:
        fail(str(error))


bench.add_command(suite)
bench.add_command(simulate)
