"""Options, progress and reports that the measuring commands share."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import attrs
import rich_click as click

from server.cli._output import INTERRUPTED, UNUSABLE, fail

if TYPE_CHECKING:
    from server.cli.bench.debates import Debates
    from server.cli.bench.reporting.tables import Table
    from server.cli.bench.sweep import HttpServer, Sweep

__all__ = [
    "NamedUrl",
    "Numbers",
    "Report",
    "ServerUrl",
    "compare_options",
    "hold_debates",
    "http_servers",
    "report_options",
    "run_sweep",
    "size_options",
]

F = TypeVar("F", bound=Callable[..., Any])


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers within a range, such as `1,4,8`, without repetition."""

    name = "N,N,…"

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            numbers = tuple(dict.fromkeys(int(part) for part in str(value).split(",")))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 1,4,8", param, ctx)
        if not all(self._least <= number <= self._most for number in numbers):
            self.fail(f"{value!r}: each number must be between {self._least} and {self._most}", param, ctx)
        return numbers


class ServerUrl(click.ParamType[str]):
    """URL of a server; without a path, `/v1` is added."""

    name = "URL"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        url = str(value) if "://" in str(value) else f"http://{value}"
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            self.fail(f"{value!r} is not the URL of a server, such as http://127.0.0.1:8000/v1", param, ctx)
        return url.rstrip("/") if parts.path.strip("/") else f"{url.rstrip('/')}/v1"


class NamedUrl(click.ParamType[tuple[str, str]]):
    """A display name and the URL of a server."""

    name = "NAME=URL"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, separator, url = str(value).partition("=")
        if not separator or not name:
            self.fail(f"{value!r} is not a name and a URL, such as other=http://127.0.0.1:8000/v1", param, ctx)
        return name, ServerUrl().convert(url, param, ctx)


def size_options(command: F) -> F:
    """Add `--streams`, `--prompt-words`, `--max-tokens` and `--shared-prefix`."""
    options = (
        click.option(
            "--streams", type=Numbers(1, 1024), default="1,4,8", show_default=True, help="Concurrent streams to try."
        ),
        click.option(
            "--prompt-words", type=Numbers(1, 20_000), default="40", show_default=True, help="Words per prompt to try."
        ),
        click.option(
            "--max-tokens", type=Numbers(1, 8192), default="64", show_default=True, help="Tokens per answer to try."
        ),
        click.option(
            "--shared-prefix", type=click.IntRange(0, 20_000), default=0, show_default=True, metavar="N",
            help="Length in words of a system message that all requests share.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def compare_options(command: F) -> F:
    """Add `--compare`, `--compare-model` and `--compare-api-key`."""
    options = (
        click.option(
            "--compare", type=ServerUrl(), panel="Comparison",
            help="URL of a second server, measured in alternation; ratios are first server ÷ second server.",
        ),
        click.option(
            "--compare-model", metavar="NAME", panel="Comparison", help="Model of the second server. Default: --model."
        ),
        click.option(
            "--compare-api-key", envvar="COMPARE_API_KEY", metavar="KEY", panel="Comparison",
            help="API key of the second server.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def report_options(command: F) -> F:
    """Add `--json`, `--output` and `--plot`, and pass them as one `Report`."""

    @functools.wraps(command)
    def with_report(*, as_json: bool, output: Path | None, plot: Path | None, **options: Any) -> None:
        report = Report(as_json=as_json, folder=output, plot=plot)
        report.check()
        command(report=report, **options)

    options = (
        click.option("--json", "as_json", is_flag=True, panel="Report", help="Print JSON instead of tables."),
        click.option(
            "--output", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", panel="Report",
            help="Folder for tables, JSON and, with the extra `bench`, a plot.",
        ),
        click.option(
            "--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png", panel="Report",
            help="File for a plot. Needs the extra `bench`.",
        ),
    )  # fmt: skip
    decorated: Any = with_report
    for option in reversed(options):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


@attrs.frozen(kw_only=True)
class Report:
    """Destinations of the results."""

    as_json: bool
    folder: Path | None
    plot: Path | None

    def check(self) -> None:
        """End the command with a message if a destination cannot be written. Called before anything is measured."""
        from server.cli.bench.reporting.plot import MISSING, can_plot

        if self.plot is not None and self.plot.suffix.lower() != ".png":
            fail(f"--plot: {self.plot} does not end in .png", UNUSABLE)
        if self.plot is not None and not can_plot():
            fail(f"--plot: {MISSING}", UNUSABLE)
        try:
            for folder in (self.folder, None if self.plot is None else self.plot.parent):
                if folder is not None:
                    folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail(f"cannot write {error.filename}: {error.strerror}", UNUSABLE)

    def give(
        self, name: str, *, tables: Sequence[Table], notes: Sequence[str], data: Any, draw: Callable[[Path], None]
    ) -> None:
        """Print the results and write the files.

        Args:
            name: name of the files without an extension.
            data: content of the JSON file.
            draw: function that draws the plot into a given file.
        """
        from server.cli.bench.reporting.plot import MISSING, can_plot
        from server.cli.bench.reporting.report import as_json

        content = as_json(data)
        if self.as_json:
            click.echo(content)
        else:
            for table in tables:
                _print_table(table)
        if self.folder is not None:
            text = [*(table.markdown() for table in tables), "\n".join(f"- {note}" for note in notes)]
            (self.folder / f"{name}.json").write_bytes(content)
            (self.folder / f"{name}.md").write_text("\n\n".join(part for part in text if part) + "\n")
            if can_plot():
                draw(self.folder / f"{name}.png")
            else:
                notes = [*notes, f"{self.folder / name}.png was not written: {MISSING}"]
        if self.plot is not None:
            draw(self.plot)
        for note in notes:
            click.echo(note, err=True)


def _print_table(table: Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in table.head:
        drawn.add_column(heading, justify="right")
    for row in table.rows:
        drawn.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(drawn)


def http_servers(
    url: str,
    model: str,
    api_key: str | None,
    compare: str | None,
    compare_model: str | None,
    compare_api_key: str | None,
) -> list[HttpServer]:
    """One server, or two servers with different names."""
    from server.cli.bench.sweep import HttpServer

    if compare is None:
        if compare_model is not None:
            fail("--compare-model has no effect without --compare", UNUSABLE)
        return [HttpServer(name=urlsplit(url).netloc, url=url, model=model, api_key=api_key)]
    other = compare_model or model
    if (url, model) == (compare, other):
        fail("--compare: this is the same model of the same server", UNUSABLE)
    names = [urlsplit(url).netloc, urlsplit(compare).netloc]
    if names[0] == names[1]:
        names = [url, compare] if url != compare else [model, other]
    return [
        HttpServer(name=names[0], url=url, model=model, api_key=api_key),
        HttpServer(name=names[1], url=compare, model=other, api_key=compare_api_key),
    ]


def run_sweep(name: str, sweep: Sweep, report: Report) -> None:
    """Measure with a progress bar and report the results, after Ctrl-C those so far. Ends the command on failure."""
    from server.cli.bench.reporting.plot import plot_load
    from server.cli.bench.reporting.report import sweep_data
    from server.cli.bench.reporting.tables import load_notes, load_tables

    with _Progress(sweep.total_requests) as progress:
        sweep.on_start, sweep.on_done = progress.describe, progress.advance
        sweep.measure()
    runs = sweep.runs
    if runs:
        report.give(
            name,
            tables=load_tables(runs, [contender.name for contender in sweep.contenders]),
            notes=load_notes(runs),
            data=sweep_data(sweep),
            draw=functools.partial(plot_load, runs),
        )
    progress.end()
    if failed := sum(run.result.errors for run in runs):
        fail(f"{failed} of {sum(run.result.requests for run in runs)} requests failed")


def hold_debates(debates: Debates, report: Report) -> None:
    """Like `run_sweep`, for debates."""
    with _Progress(debates.total_turns) as progress:
        debates.on_start, debates.on_turn = progress.describe, progress.advance
        debates.hold()
    if debates.held:
        report.give("debate", tables=debates.tables(), notes=debates.notes(), data=debates.data(), draw=debates.draw)
    progress.end()


class _Progress:
    """A progress bar while the block runs. It keeps the block's failure for `end`, so that the results so far can be
    reported first."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self._bar = Progress(*columns, transient=True, disable=not console.is_terminal, console=console)
        self._task = self._bar.add_task("starting", total=total)
        self._failure: tuple[str, int] | None = None

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        from server.cli.bench.engine import EngineFailed
        from server.cli.bench.sweep import Unusable

        self._bar.stop()
        if isinstance(error, KeyboardInterrupt):
            self._failure = ("interrupted", INTERRUPTED)
        elif isinstance(error, (EngineFailed, Unusable)):
            self._failure = (str(error), 1)
        return error is None or self._failure is not None

    def describe(self, text: str) -> None:
        self._bar.update(self._task, description=text)

    def advance(self) -> None:
        self._bar.advance(self._task)

    def end(self) -> None:
        """End the command if the block failed."""
        if self._failure is not None:
            fail(*self._failure)
