"""The file of `--config`: options as YAML, with the line of each value for messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from server.settings.migration.aliases import ALIASES
from server.settings.options import CONFIG, OPTIONS, OPTIONS_BY_NAME, SAMPLING_OPTIONS
from server.settings.parsers import closest
from server.settings.sources import ONE_MODEL_ONLY, Entry, Raw, SettingsError, under_our_names

if TYPE_CHECKING:
    import yaml

__all__ = ["NOT_OURS", "PARAMETERS", "PARAMETER_NAMES", "read_file"]

PARAMETERS = ("parameters", "sampling")
"""Keys whose mapping has options of sampling, beside those that stand by themselves."""

NOT_OURS = "x-"
"""Start of keys at the top of the file that have anchors for others, as in the files of Docker Compose."""

_SAMPLING = {option.name for option in SAMPLING_OPTIONS}
_IN_FILE = {alias.name for alias in ALIASES.values() if alias.in_file}
PARAMETER_NAMES = _SAMPLING | {alias.name for alias in ALIASES.values() if alias.to in _SAMPLING}

_Keys = dict[str, tuple[Raw, "yaml.Node"]]


def read_file(source: Raw | None, notes: list[str]) -> tuple[dict[str, Raw], tuple[Entry, ...] | None]:
    """The file's top level and its models, None if it has no `models`. `notes` gets what has no effect.

    Raises:
        SettingsError: the file cannot be used. The message names the line and the key.
    """
    if source is None:
        return {}, None
    document = _Document(source)
    keys = document.keys(document.root, "") if document.root is not None else {}
    if keys is None:
        raise SettingsError(f"{document.at(document.root)} the file must hold options as `key: value` lines")
    keys = {key: value for key, value in keys.items() if not key.startswith(NOT_OURS)}
    models = keys.pop("models", None)
    server = _section(document, keys.pop("server", None))
    top = {
        **under_our_names(_known(_flat(document, server, "server")), notes),
        **under_our_names(_known(_flat(document, keys)), notes),
    }
    if models is None or models[0].value is None:
        return top, None
    for name in ONE_MODEL_ONLY:
        if name in top and name != "model_type":
            raise SettingsError(f"{top[name].where} cannot be combined with a `models` list; set it in an entry")
    return top, tuple(_entries(document, *models, notes))


def _section(document: _Document, given: tuple[Raw, yaml.Node] | None) -> _Keys:
    """The keys of `server`.

    Raises:
        SettingsError: it has a value without keys.
    """
    if given is None or given[0].value is None:
        return {}
    keys = document.keys(given[1], "server")
    if keys is None:
        raise SettingsError(f"{given[0].where} must hold options as `key: value` lines")
    return keys


def _entries(document: _Document, models: Raw, node: yaml.Node, notes: list[str]) -> Iterator[Entry]:
    """The entries of `models`, which is a list or has the models' ids as keys."""
    listed: list[tuple[str, str, yaml.Node, Raw | None]] = []
    if isinstance(models.value, dict):
        named = document.keys(node, "models") or {}
        listed = [(f"models.{name}", raw.where, value, Raw(name, raw.where)) for name, (raw, value) in named.items()]
    elif isinstance(models.value, list):
        paths = (f"models[{at}]" for at in range(len(node.value)))
        listed = [(path, document.at(value, path), value, None) for path, value in zip(paths, node.value, strict=True)]
    if not listed:
        raise SettingsError(f"{models.where} must be a list with the options of one model in each entry")
    for path, place, value, name in listed:
        yield Entry(_entry(document, path, place, value, name, notes), place)


def _entry(
    document: _Document, path: str, place: str, node: yaml.Node, name: Raw | None, notes: list[str]
) -> dict[str, Raw]:
    """The options of one model. A text is the model's path.

    Raises:
        SettingsError: it is neither, or it has a name although its key is one.
    """
    keys = document.keys(node, path)
    if keys is not None:
        raws = under_our_names(_known(_flat(document, keys, path), entry=True), notes, entry=True)
    else:
        value = document.value(node)
        if value is None and name is not None:
            raws = {}
        elif isinstance(value, str):
            raws = {"model_path": Raw(value, place)}
        else:
            raise SettingsError(f"{place} must hold the options of a model as `key: value` lines")
    if name is not None:
        given = raws.setdefault("served_model_name", name)
        if given.value != name.value:
            raise SettingsError(f"{given.where} has no effect: the model is named by its key, {name.value!r}")
    return raws


def _flat(document: _Document, keys: _Keys, path: str = "") -> dict[str, Raw]:
    """The values by key, with those of `parameters` beside the others.

    Raises:
        SettingsError: a key of `parameters` is also outside it, or is no option of sampling.
    """
    flat = {key: raw for key, (raw, _) in keys.items() if key not in PARAMETERS}
    for group in PARAMETERS:
        if group not in keys or keys[group][0].value is None:
            continue
        raw, node = keys[group]
        nested = document.keys(node, _joined(path, group))
        if nested is None:
            raise SettingsError(f"{raw.where} must hold parameters as `key: value` lines")
        for key, (value, _) in nested.items():
            if key not in PARAMETER_NAMES:
                raise SettingsError(f"{value.where} is not a parameter of sampling{closest(key, PARAMETER_NAMES)}")
            if key in flat:
                raise SettingsError(f"{value.where} is also set as {flat[key].where}")
            flat[key] = value
    return flat


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _known(given: Mapping[str, Raw], *, entry: bool = False) -> dict[str, Raw]:
    """The values that are set, once each key is known to be an option. `entry`: in an entry of `models`.

    Raises:
        SettingsError: a key is no option, or not one of this place.
    """
    if entry and "memory_limit" in given:
        if "max_memory" in given:
            raise SettingsError(f"{given['memory_limit'].where} is also set as {given['max_memory'].where}")
        given = {"max_memory" if key == "memory_limit" else key: raw for key, raw in given.items()}
    known = [option.name for option in OPTIONS if option is not CONFIG and (option.scope == "model" or not entry)]
    for key, raw in given.items():
        if key in known or key in _IN_FILE or key in PARAMETER_NAMES:
            continue
        if key == CONFIG.name:
            raise SettingsError(f"{raw.where} has no effect: a file cannot name another file")
        if key in OPTIONS_BY_NAME:
            raise SettingsError(f"{raw.where} is an option of the whole server; move it to the top of the file")
        others = [*known, *PARAMETERS, *_IN_FILE] if entry else [*known, *PARAMETERS, *_IN_FILE, "models", "server"]
        raise SettingsError(f"{raw.where} is not an option{closest(key.replace('-', '_'), others)}")
    return {key: raw for key, raw in given.items() if raw.value is not None}


@attrs.define(eq=False)
class _Document:
    """A YAML document whose nodes know their lines."""

    source: Raw
    root: yaml.Node | None = attrs.field(init=False)
    _loader: yaml.SafeLoader = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        import yaml  # imported here so that commands without a file start faster

        self._loader = yaml.SafeLoader("")
        text = self._text()
        try:
            self.root = yaml.compose(text, Loader=yaml.SafeLoader)
            self._refuse_doubles(self.root, set())
        except yaml.YAMLError as error:
            raise self._not_yaml(error, text) from None

    def at(self, node: yaml.Node | None, path: str = "") -> str:
        """`models.yaml:7: models[1].ttl`."""
        line = 1 if node is None else node.start_mark.line + 1
        return f"{self.source.value}:{line}: {path}" if path else f"{self.source.value}:{line}:"

    def value(self, node: yaml.Node) -> Any:
        """Python's value of a node."""
        import yaml

        try:
            return self._loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            raise self._not_yaml(error, "", node) from None

    def keys(self, node: yaml.Node, path: str) -> _Keys | None:
        """The keys of a mapping, each with its value and the value's node; None for other nodes."""
        import yaml

        if not isinstance(node, yaml.MappingNode):
            return None
        try:
            self._loader.flatten_mapping(node)
        except yaml.YAMLError as error:
            raise self._not_yaml(error, "", node) from None
        found: _Keys = {}
        for key, value in node.value:  # merged keys come first, and lose to those of the mapping itself
            name = str(key.value)
            found[name] = Raw(self.value(value), self.at(key, _joined(path, name))), value
        return found

    def _text(self) -> str:
        path = Path(str(self.source.value)).expanduser()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SettingsError(f"{self.source.where}: cannot read {path}: {error.strerror}") from None
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            raise SettingsError(f"{self.source.value}:{line}: this is not UTF-8") from None

    def _refuse_doubles(self, node: yaml.Node | None, seen: set[int]) -> None:
        """
        Raises:
            SettingsError: a mapping has a key twice, or one that is no text.
        """
        import yaml

        if node is None or id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._refuse_doubles(item, seen)
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise SettingsError(f"{self.at(key)} a key must be a name")
                if key.value in lines:
                    raise SettingsError(f"{self.at(key, key.value)} is set twice, first in line {lines[key.value]}")
                lines[key.value] = key.start_mark.line + 1
                self._refuse_doubles(value, seen)

    def _not_yaml(self, error: Exception, text: str, node: yaml.Node | None = None) -> SettingsError:
        """What is wrong with the text, in the words of the YAML library, but for tabs."""
        mark = getattr(error, "problem_mark", None) or (node and node.start_mark)
        position = getattr(error, "position", None)
        line = text[:position].count("\n") if mark is None and position is not None else mark.line if mark else 0
        context, problem = getattr(error, "context", None), getattr(error, "problem", None)
        said = " ".join(str(part) for part in (context, problem) if part) or " ".join(str(error).split())
        if "\\t" in said or "\t" in said:
            said = "there is a tab; indent with spaces"
        return SettingsError(f"{self.source.value}:{line + 1}: this is not YAML: {said}")
