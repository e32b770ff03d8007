"""`bench`: load against any OpenAI-compatible server, and the comparison behind docs/performance.md."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import rich_click as click

from server.cli._output import INTERRUPTED, fail

__all__ = ["bench"]


@click.group()
def bench() -> None:
    """Measure servers: tokens a second, time to first token, gaps between tokens."""


class _Streams(click.ParamType[tuple[int, ...]]):
    """Numbers of concurrent streams, such as `1,4,8`."""

    name = "N,N,…"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            numbers = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 1,4,8", param, ctx)
        if not all(1 <= number <= 1024 for number in numbers):
            self.fail(f"{value!r}: each number must be between 1 and 1024", param, ctx)
        return numbers


@bench.command()
@click.option("--url", default="http://127.0.0.1:8000/v1", show_default=True, help="The server, up to and with /v1.")
@click.option("--model", default="default", show_default=True, help="Model name to ask for.")
@click.option("--api-key", envvar="API_KEY", help="API key, where the server wants one.")
@click.option("--streams", type=_Streams(), default="1,4,8", show_default=True, help="Concurrent streams to try.")
@click.option("--requests", type=click.IntRange(1, 10_000), help="Requests at each step; default: four a stream.")
@click.option("--max-tokens", type=click.IntRange(1, 8192), default=64, show_default=True, help="Tokens an answer.")
@click.option("--prompt-words", type=click.IntRange(1, 20_000), default=40, show_default=True, help="Words a prompt.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def load(
    url: str,
    model: str,
    api_key: str | None,
    streams: tuple[int, ...],
    requests: int | None,
    max_tokens: int,
    prompt_words: int,
    as_json: bool,
) -> None:
    """Send streamed chats to a server at several concurrencies.

    Every prompt is different, so that no prefix cache helps.
    """
    import asyncio

    from rich.progress import Progress

    from server.bench.client import Workload
    from server.bench.load import LoadResult, run_load
    from server.bench.suite import make_prompts

    results: list[LoadResult] = []
    try:
        with Progress(transient=True, disable=not sys.stderr.isatty()) as progress:
            for number, concurrency in enumerate(streams):
                total = requests or 4 * concurrency
                task = progress.add_task(f"{concurrency} streams", total=total)
                workload = Workload(
                    model=model, prompts=make_prompts(number, total, prompt_words), max_tokens=max_tokens
                )
                run = run_load(
                    url.rstrip("/"),
                    workload,
                    concurrency=concurrency,
                    requests=total,
                    api_key=api_key,
                    on_done=lambda task=task: progress.advance(task),  # type: ignore[misc]
                )
                results.append(asyncio.run(run))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    _print_results(results, as_json)
    if failed := next((result for result in results if result.errors), None):
        fail(f"{failed.errors} of {failed.requests} requests failed, the first with: {failed.first_error}")


def _print_results(results: Sequence[object], as_json: bool) -> None:
    import cattrs
    import msgspec

    rows = [cattrs.unstructure(result) for result in results]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Streams", "Requests", "Errors", "Tokens/s", "First token p50", "p95", "Between p50", "p95"):
        table.add_column(heading, justify="right")
    for row in rows:
        times = ("first_token_p50", "first_token_p95", "inter_token_p50", "inter_token_p95")
        table.add_row(
            *(str(row[name]) for name in ("concurrency", "requests", "errors")),
            f"{row['tokens_per_second']:.1f}",
            *(f"{row[name] * 1000:.0f} ms" for name in times),
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


@bench.command()
@click.option("--model-path", default="embedded:smollm2-135m-instruct", show_default=True, help="MLX model to use.")
@click.option("--streams", type=_Streams(), default="1,4,8", show_default=True, help="Concurrent streams to try.")
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True, help="Rounds; the median counts.")
@click.option("--max-tokens", type=click.IntRange(1, 4096), default=64, show_default=True, help="Tokens an answer.")
@click.option(
    "--peer-rounds", type=click.IntRange(0, 50), default=1, show_default=True, help="Rounds of mlx_lm.server; 0: none."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("bench"),
    show_default=True,
    help="Folder for the logs, suite.json and suite.md.",
)
def suite(
    model_path: str, streams: tuple[int, ...], rounds: int, max_tokens: int, peer_rounds: int, output: Path
) -> None:
    """Measure what docs/performance.md states, all in one run.

    The engine in-process against HTTP, the latency that the server adds, and mlx_lm.server under the same load.
    Starts and ends every server itself. Takes several minutes; the machine should be quiet.
    """
    import signal

    import attrs
    from rich.console import Console

    from providers.weights import WeightsError, resolve, terminal_progress
    from server.bench.report import to_json, to_markdown
    from server.bench.servers import ServerFailed
    from server.bench.suite import SuiteOptions, SuiteResult, run_peers, run_suite

    def write(result: SuiteResult) -> None:
        (output / "suite.json").write_bytes(to_json(result))
        (output / "suite.md").write_text(to_markdown(result))

    console = Console(stderr=True)
    # A run that is told to end takes the servers it started along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with terminal_progress() as progress:
            folder = resolve(model_path, progress)
        options = SuiteOptions(
            model=folder, streams=streams, rounds=rounds, max_tokens=max_tokens, peer_rounds=peer_rounds
        )
        with console.status("starting") as status:
            result = run_suite(options, output, lambda stage: status.update(stage))
            write(result)
            if peer_rounds:
                result = attrs.evolve(result, peers=run_peers(options, output, lambda stage: status.update(stage)))
                write(result)
    except (WeightsError, ServerFailed) as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    click.echo(to_markdown(result), nl=False)
