"""The JSON schema of the file of `--config`, from the tables of options and of aliases.

Editors show it as help, completion and mistakes:

    # yaml-language-server: $schema=…/docs/models.schema.json

It takes every file that the server takes. The server also refuses what no schema can tell, such as a folder that does
not exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from server.settings.config_file import NOT_OURS, PARAMETER_NAMES, PARAMETERS
from server.settings.migration.aliases import ALIASES, Alias
from server.settings.options import CONFIG, OPTIONS, OPTIONS_BY_NAME, Option
from server.settings.parser import Schema
from server.settings.parsers import boolean

__all__ = ["file_schema", "schema_text"]

_SHORT = {"id", "name", "path", "type", "preload"}
"""Aliases that are as good as the options' own names."""


def schema_text() -> str:
    """`docs/models.schema.json`, with each option in a line."""
    schema = file_schema()
    lines = [_line(name, part) for name, part in schema.items() if name != "definitions"]
    definitions = [_line(name, part) for name, part in schema["definitions"].items()]
    return "{\n" + ",\n".join([*lines, '"definitions": {\n' + ",\n".join(definitions) + "\n}"]) + "\n}\n"


def _line(name: str, part: object) -> str:
    return f"{json.dumps(name)}: {json.dumps(part, ensure_ascii=False)}"


def file_schema() -> Schema:
    """The schema of a whole file, of draft 7, which editors know best."""
    options = [option for option in OPTIONS if option is not CONFIG]
    aliases = [alias for alias in ALIASES.values() if alias.in_file or alias.name in PARAMETER_NAMES]
    server = [*(option.name for option in options), *(alias.name for alias in aliases), *PARAMETERS]
    model = [name for name in server if name not in OPTIONS_BY_NAME or OPTIONS_BY_NAME[name].scope == "model"]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Options of mlx-openai-server",
        **_object({"models": _ref("models"), "server": _ref("server"), **_refs(server)}),
        "patternProperties": {f"^{NOT_OURS}": {"description": "A place for anchors."}},
        "definitions": {
            "models": _MODELS,
            "server": _object(_refs(server), "Options, as outside it."),
            "model": _object({**_refs(model), "memory_limit": _ref("max_memory")}, "The options of one model."),
            **dict.fromkeys(PARAMETERS, _object(_refs(sorted(PARAMETER_NAMES)), "Defaults of parameters.")),
            **{option.name: _of_option(option) for option in options},
            **{alias.name: _of_alias(alias) for alias in aliases},
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _refs(names: Iterable[str]) -> dict[str, Schema]:
    return {name: _ref(name) for name in names}


_MODELS: Schema = {
    "description": "The models, in a list or under their names. Their options override those outside the list.",
    "anyOf": [
        {"type": "array", "minItems": 1, "items": {"anyOf": [_ref("model"), {"type": "string"}]}},
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"anyOf": [_ref("model"), {"type": "string"}]},
        },
        {"type": "null"},
    ],
}


def _object(properties: Mapping[str, Schema], description: str = "") -> Schema:
    """An object of these properties only, or no value."""
    described = {"description": description} if description else {}
    return {**described, "type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _of_option(option: Option) -> Schema:
    default = {"default": option.default} if isinstance(option.default, bool | int | float | str) else {}
    return {"description": option.full_help, **default, **_or_nothing(option.parse.schema)}


def _or_nothing(schema: Schema) -> Schema:
    return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}


def _of_alias(alias: Alias) -> Schema:
    """The schema of the option of which this is another name, unless the values differ."""
    described: dict[str, Any] = {} if alias.name in _SHORT else {"deprecated": True}
    if not alias.to:
        return {"description": f"No effect: {alias.note}.", **described}
    if alias.switch:
        return {"description": f"Sets `{alias.to}`.", **described, **_or_nothing(boolean.schema)}
    described = {"description": f"Another name of `{alias.to}`.", **described}
    if alias.values is not None or alias.translate is not None or alias.unit:
        return {**described, "type": ["string", "number", "null"]}
    return {**described, "allOf": [_ref(alias.to)]}  # not beside `description`: draft 7 ignores what is beside a `$ref`
