"""`models`: list, describe and delete the weights on this machine, and fetch more."""

from __future__ import annotations

import sys

import rich_click as click

from server.cli._output import INTERRUPTED, fail, size_text
from server.cli._signals import first_signal_ends
from server.cli.models.info import info
from server.cli.models.removal import rm

__all__ = ["models"]


@click.group()
def models() -> None:
    """List, describe and delete the models on this machine, or fetch models ahead of time."""


@click.command("list")
def list_() -> None:
    """List the embedded models and the models in the Hugging Face cache.

    `launch --model-path` accepts the names in the first column.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from providers.weights import list_local

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Model", "State", "Size", "Description", "Licence"):
        table.add_column(heading, justify="right" if heading == "Size" else "left", overflow="fold")
    for model in list_local():
        state = "fetched" if model.pulled else "not fetched" if model.source == "embedded" else "incomplete"
        table.add_row(model.id, state, size_text(model.size), model.title, model.license)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def pull(names: tuple[str, ...]) -> None:
    """Fetch models ahead of time, so that the next launch needs no download.

    NAME is a Hugging Face id, `embedded:ID` for one embedded model, or `embedded` for the default ones. Models that
    are already on this machine are not fetched again.
    """
    from providers.weights import DEFAULT_IDS, WeightsError, resolve, terminal_progress
    from providers.weights.resolve import EMBEDDED_PREFIX

    wanted = [
        path
        for name in names
        for path in ([EMBEDDED_PREFIX + model_id for model_id in DEFAULT_IDS] if name == "embedded" else [name])
    ]
    try:
        for path in dict.fromkeys(wanted):
            with first_signal_ends(), terminal_progress() as progress:
                where = resolve(path, progress)
            click.echo(f"{path} is in {where}")
    except WeightsError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


for _command in (list_, pull, info, rm):
    models.add_command(_command)
