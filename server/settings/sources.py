"""Where settings come from: the environment and the command line, as text that is not yet parsed.

`server.settings.config_file` reads the YAML file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from server.settings.migration.aliases import ALIASES, Alias
from server.settings.options import OPTIONS, OPTIONS_BY_NAME
from server.settings.parsers import boolean

__all__ = [
    "ONE_MODEL_ONLY",
    "Entry",
    "Raw",
    "SettingsError",
    "from_command_line",
    "from_environ",
    "named_model",
    "several_models",
    "under_our_names",
]

ONE_MODEL_ONLY = ("model_path", "model_type", "served_model_name", "aliases")
"""Options that identify one model; they cannot apply to every entry of a `models` list."""


class SettingsError(ValueError):
    """Raised when a setting cannot be used. The message names the option and where it was set."""


@attrs.frozen
class Raw:
    """An unparsed value and the name of the option in its source, such as `MAX_CONCURRENCY in the environment` or
    `models.yaml:7: models[1].ttl`.
    """

    value: Any
    where: str


@attrs.frozen
class Entry:
    """The options of one of several models."""

    raws: Mapping[str, Raw]
    place: str
    """As `Raw.where`."""


def from_command_line(given: Mapping[str, Any], notes: list[str]) -> dict[str, Raw]:
    """The options given on the command line, under our names. `notes` gets what has no effect.

    Raises:
        SettingsError: an option of another server is not supported.
    """
    return under_our_names(
        {
            name: Raw(value, (ALIASES[name] if name in ALIASES else OPTIONS_BY_NAME[name]).flag)
            for name, value in given.items()
            if value is not None
        },
        notes,
    )


def several_models(given: dict[str, Any]) -> tuple[str, ...]:
    """Take `--model` out of the command line if it is given several times, or with a name, as NAME=PATH.

    Raises:
        SettingsError: `--model-path` is given too.
    """
    values = given.get("model") or ()
    if isinstance(values, str):
        values = (values,)
    given["model"] = values[0] if values else None
    if len(values) < 2 and not (values and "=" in values[0]):
        return ()
    del given["model"]
    if given.get("model_path") is not None:
        raise SettingsError("--model-path cannot be combined with several models; write --model for each")
    return tuple(values)


def named_model(value: str, echo: bool) -> Entry:
    """The path or id of `--model`, with the name before it if there is one. `echo`: that of the echo model.

    Raises:
        SettingsError: the name is empty, or the path of a model with weights.
    """
    place = f"--model {value}"
    name, equals, path = value.partition("=")
    if not equals or Path(value).expanduser().exists() or (echo and _is_echo(value)):
        return Entry({"model_path": Raw(value, place)}, place)
    if echo and name.strip() and not path.strip():
        return Entry({"served_model_name": Raw(name, place)}, place)
    if not name.strip() or not path.strip():
        raise SettingsError(f"{place} must be PATH, ID or NAME=PATH")
    return Entry({"model_path": Raw(path, place), "served_model_name": Raw(name, place)}, place)


def _is_echo(value: str) -> bool:
    """Whether the value has the behaviour of an echo model, such as `delay=0.05`, and no name."""
    from providers.echo.provider import EchoSettings  # imported here: it imports asyncio and telemetry

    try:
        EchoSettings.parse(value)
    except ValueError:
        return False
    return True


def from_environ(environ: Mapping[str, str]) -> dict[str, Raw]:
    """Values from the environment. An empty variable counts as unset, as in compose files and CI."""
    return {
        option.name: Raw(environ[option.env], f"{option.env} in the environment")
        for option in OPTIONS
        if environ.get(option.env, "").strip()
    }


def under_our_names(given: dict[str, Raw], notes: list[str], *, entry: bool = False) -> dict[str, Raw]:
    """The values of one source with aliases replaced. `entry`: the source is an entry of the `models` list."""
    ours = {name: raw for name, raw in given.items() if name not in ALIASES}
    for name, raw in given.items():
        alias = ALIASES.get(name)
        if alias is None:
            continue
        value, why = _counterpart(alias, raw), alias.note
        if alias.to and value:
            option = OPTIONS_BY_NAME[alias.to]
            if alias.to in ours:
                value, why = None, f"{ours[alias.to].where} takes precedence"
            elif entry and option.scope == "server":
                value, why = None, f"{alias.to} is an option of the whole server; set it at the top of the file"
            else:
                ours[alias.to] = attrs.evolve(raw, value=value)
        if value is None:
            notes.append(f"{raw.where} has no effect: {why}")
    return ours


def _counterpart(alias: Alias, raw: Raw) -> Any:
    """The value for our option; empty: none is to be set; None: the value has no effect here.

    Raises:
        SettingsError: the value is not that of a switch, or the alias is refused.
    """
    if alias.to and alias.values is None and not alias.unit and alias.translate is None:
        return raw.value
    value = str(raw.value)
    if alias.switch:
        try:
            value = str(boolean(raw.value))
        except ValueError as error:
            raise SettingsError(f"{raw.where} {error}") from None
    found = alias.counterpart(value)
    if found is None and alias.refused:
        raise SettingsError(f"{raw.where} is not supported: {alias.refused}")
    return found
