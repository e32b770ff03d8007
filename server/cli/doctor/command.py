"""`doctor`: what this machine or a group of hosts has, and what is missing to serve models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

if TYPE_CHECKING:  # heavy, and `--help` needs none of it
    from server.cli._running.probe import Finding, Section
    from server.cli.doctor.hostfile import Hostfile

__all__ = ["doctor"]

_MARKS = {"ok": "ok", "note": "--", "problem": "!!"}
_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


@click.command()
@click.option(
    "--hostfile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check the hosts of a hostfile of `mlx.launch` instead of this machine: whether they can be reached, what is "
    "installed on each, and how fast the links between the ranks are.",
)
@click.option(
    "--backend", help="How the ranks communicate, instead of the hostfile's choice: ring, jaccl, nccl or mpi."
)
@click.option("--model", metavar="MODEL", help="Also show whether this model can be divided among the hosts.")
def doctor(hostfile: Path | None, backend: str | None, model: str | None) -> None:
    """Show the hardware and software that models would run on, and what is missing.

    Python, MLX with its device, BLAS and dtype, memory, weights, and what each extra adds. Exits with status 1
    if no model can be served.
    """
    from server.cli._output import UNUSABLE, fail
    from server.cli._running.probe import examine

    if hostfile is not None:
        _check_hosts(hostfile, backend, model)
        return
    for option, value in (("--backend", backend), ("--model", model)):
        if value is not None:
            fail(f"{option} needs --hostfile", UNUSABLE)
    problems = [f"{problem.name}: {problem.value}" for problem in _show(examine())]
    _conclude(problems, "No model can be served", "Models can be served here.")


def _check_hosts(path: Path, backend: str | None, model: str | None) -> None:
    from server.cli._output import INTERRUPTED, UNUSABLE, fail
    from server.cli._signals import first_signal_ends
    from server.cli.doctor.hostfile import BadHostfile, read

    problems: list[Finding] = []
    try:
        with first_signal_ends():
            hostfile = read(path, backend)
            for section in _sections(hostfile, model):
                problems += _show([section])
                # What follows would fail for the same reason.
                if problems:
                    break
    except BadHostfile as error:
        fail(str(error), UNUSABLE)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    names = dict.fromkeys(problem.name for problem in problems)
    _conclude(list(names), "These hosts cannot serve a model together", "These hosts can serve a model together.")


def _sections(hostfile: Hostfile, model: str | None) -> Iterator[Section]:
    """What is found, each step as soon as it is done."""
    from server.cli._running.probe import Section
    from server.cli.doctor import hosts
    from server.cli.doctor.hostfile import check
    from server.cli.doctor.model import divide

    yield Section("Hostfile", check(hostfile))
    with _progress() as progress:
        progress("looking at the hosts")
        found = hosts.examine(hostfile.hosts)
    yield Section("Hosts", found)
    with _progress() as progress:
        links = _links(hostfile, progress)
    yield Section("Links", links)
    if model is not None:
        with _progress() as progress:
            progress(f"asking mlx-lm how {model} divides")
            parts = divide(model, len(hostfile.hosts))
        yield Section("Model", parts)


def _links(hostfile: Hostfile, progress: Callable[[str], None]) -> list[Finding]:
    from server.cli._output import size_text
    from server.cli._running.probe import Finding
    from server.cli.doctor.links import LinksFailed, measure

    try:
        sums = measure(hostfile, progress)
    except LinksFailed as error:
        return [Finding(hostfile.backend, str(error), "problem")]
    latency, bandwidth = sums
    rate = bandwidth.size / bandwidth.seconds / 1e9
    return [
        Finding("latency", f"{latency.seconds * 1e6:,.0f} µs for a sum of {latency.size} bytes over all ranks"),
        Finding(
            "bandwidth",
            f"{rate:.2f} GB/s: {bandwidth.seconds * 1e3:,.0f} ms for a sum of {size_text(bandwidth.size)} over them",
        ),
    ]


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line on a terminal that shows what is done; nothing elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield status.update


def _show(sections: Iterable[Section]) -> list[Finding]:
    """Print the findings. Returns the problems."""
    problems = []
    for section in sections:
        click.echo(click.style(section.title, bold=True))
        for finding in section.findings:
            mark = click.style(_MARKS[finding.state], fg=_COLOURS[finding.state])
            click.echo(f"  {mark}  {finding.name:<32} {finding.value}")
            if finding.state == "problem":
                problems.append(finding)
    return problems


def _conclude(problems: list[str], failure: str, success: str) -> None:
    if problems:
        click.echo(f"\n{failure}: {'; '.join(problems)}", err=True)
        raise SystemExit(1)
    click.echo(f"\n{success}")
