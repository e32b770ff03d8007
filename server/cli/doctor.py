"""`doctor`: what this machine has, and what is missing to serve models."""

from __future__ import annotations

import rich_click as click

__all__ = ["doctor"]

_MARKS = {"ok": "ok", "note": "--", "problem": "!!"}
_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


@click.command()
def doctor() -> None:
    """Show the hardware and software that models would run on, and what is missing.

    Python, MLX with its device, BLAS and dtype, memory, weights, and what each extra adds. Exits with status 1
    if no model can be served.
    """
    from server.cli._running.probe import examine

    sections = examine()
    for section in sections:
        click.echo(click.style(section.title, bold=True))
        for finding in section.findings:
            mark = click.style(_MARKS[finding.state], fg=_COLOURS[finding.state])
            click.echo(f"  {mark}  {finding.name:<32} {finding.value}")
    problems = [f"{f.name}: {f.value}" for section in sections for f in section.findings if f.state == "problem"]
    if problems:
        click.echo(f"\nNo model can be served: {'; '.join(problems)}", err=True)
        raise SystemExit(1)
    click.echo("\nModels can be served here.")
