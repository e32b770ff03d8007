"""Where settings come from: the environment, a YAML file and the command line, as text that is not yet parsed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from server.settings.aliases import ALIASES, Alias
from server.settings.options import CONFIG, OPTIONS, OPTIONS_BY_NAME
from server.settings.parsers import boolean, closest

__all__ = ["ONE_MODEL_ONLY", "Raw", "SettingsError", "from_command_line", "from_environ", "read_file"]

ONE_MODEL_ONLY = ("model_path", "model_type", "served_model_name", "aliases")
"""Options that identify one model; they cannot apply to every entry of a `models` list."""


class SettingsError(ValueError):
    """Raised when a setting cannot be used. The message names the option and where it was set."""


@attrs.frozen
class Raw:
    """An unparsed value and the name of the option in its source, such as `MAX_CONCURRENCY in the environment`."""

    value: Any
    where: str


def from_command_line(given: Mapping[str, Any], notes: list[str]) -> dict[str, Raw]:
    """The options given on the command line, under our names. `notes` gets what has no effect.

    Raises:
        SettingsError: an option of another server is not supported.
    """
    return _under_our_names(
        {
            name: Raw(value, (ALIASES[name] if name in ALIASES else OPTIONS_BY_NAME[name]).flag)
            for name, value in given.items()
            if value is not None
        },
        notes,
    )


def from_environ(environ: Mapping[str, str]) -> dict[str, Raw]:
    """Values from the environment. An empty variable counts as unset, as in compose files and CI."""
    return {
        option.name: Raw(environ[option.env], f"{option.env} in the environment")
        for option in OPTIONS
        if environ.get(option.env, "").strip()
    }


def read_file(source: Raw | None, notes: list[str]) -> tuple[dict[str, Raw], list[dict[str, Raw]] | None]:
    """The file's top level and its `models` list, None if it has none. `notes` gets what has no effect.

    Raises:
        SettingsError: the file cannot be used.
    """
    if source is None:
        return {}, None
    import yaml  # imported here so that commands without a file start faster

    path = Path(str(source.value)).expanduser()
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{source.where}: cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from None
    if loaded is None:
        loaded = {}
    if not isinstance(loaded, dict):
        raise SettingsError(f"{path} must hold options as `key: value` lines")
    listed, section = loaded.pop("models", None), loaded.pop("server", None) or {}
    if not isinstance(section, dict):
        raise SettingsError(f"server in {path.name} must hold options as `key: value` lines")
    layers = [_file_layer(loaded, path.name, notes), _file_layer(section, f"{path.name}, server", notes)]
    top = {**layers[1], **layers[0]}
    if listed is None:
        return top, None
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, dict) for entry in listed):
        raise SettingsError(f"models in {path.name} must be a list with the options of one model in each entry")
    for name in ONE_MODEL_ONLY:
        if name in top and name != "model_type":
            raise SettingsError(f"{top[name].where} cannot be combined with a `models` list; set it in an entry")
    return top, [_file_layer(entry, f"{path.name}, models[{i}]", notes, entry=True) for i, entry in enumerate(listed)]


def _file_layer(mapping: dict[Any, Any], where: str, notes: list[str], *, entry: bool = False) -> dict[str, Raw]:
    if entry and "memory_limit" in mapping:
        mapping = {"max_memory" if key == "memory_limit" else key: value for key, value in mapping.items()}
    known = [option.name for option in OPTIONS if option is not CONFIG and (option.scope == "model" or not entry)]
    for key in mapping:
        if key in known or (key in ALIASES and ALIASES[key].in_file):
            continue
        if key == CONFIG.name:
            raise SettingsError(f"config in {where} has no effect: a file cannot name another file")
        if key in OPTIONS_BY_NAME:
            raise SettingsError(f"{key} in {where} is an option of the whole server; move it to the top of the file")
        others = known if entry else [*known, "models"]
        raise SettingsError(f"unknown key {key!r} in {where}{closest(str(key).replace('-', '_'), others)}")
    given = {key: Raw(value, f"{key} in {where}") for key, value in mapping.items() if value is not None}
    return _under_our_names(given, notes, entry=entry)


def _under_our_names(given: dict[str, Raw], notes: list[str], *, entry: bool = False) -> dict[str, Raw]:
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
