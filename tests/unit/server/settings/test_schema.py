"""The JSON schema of the file: it is one, it takes what the server takes, and it finds mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from server.cli._app import cli
from server.settings.options import OPTIONS
from server.settings.schema import file_schema, schema_text
from server.settings.settings import Settings, SettingsError
from tests.unit.server.settings.files import write
from tests.unit.server.settings.migration.test_aliases import FILE as FILE_OF_MLX_OPENAI_SERVER
from tests.unit.server.settings.test_settings import BAD, ORDINARY, SAMPLES

ROOT = Path(__file__).resolve().parents[4]
BEYOND_SCHEMAS = {"model_path", "draft_model", "lora_paths", "lora_scales", "response_store"} | {
    *("data_dir", "prefix_cache_dir", "chat_template_file", "log_file", "lexicon", "media_root"),
    *("chat_template_args", "aliases", "hostfile"),
    *("kv_group_size", "num_draft_tokens", "cors_origins", "rate_limit"),
}
"""Options whose mistakes depend on files, on other options, or on the form of a text."""


@pytest.fixture(scope="module")
def schema() -> Any:
    return jsonschema.Draft7Validator(file_schema())


def test_the_schema_is_one(schema: Any) -> None:
    jsonschema.Draft7Validator.check_schema(schema.schema)
    assert json.loads(schema_text()) == schema.schema


def test_the_file_in_docs_and_the_command_have_the_schema_of_the_table() -> None:
    file = ROOT / "docs" / "models.schema.json"

    assert file.read_text(encoding="utf-8") == schema_text(), "run python -m server.settings.docs"
    assert CliRunner().invoke(cli, ["config", "schema"]).output == schema_text()


def _unquoted(sample: object, option: Any) -> list[object]:
    """What YAML makes of the sample without quotes, if the option takes it."""
    try:
        value = yaml.safe_load(str(sample))
        option.parse(value)
    except (yaml.YAMLError, ValueError):
        return []
    return [value]


@pytest.mark.parametrize("option", ORDINARY, ids=lambda option: option.name)
def test_the_schema_takes_every_value_that_the_server_takes(option: Any, schema: Any) -> None:
    for sample in SAMPLES[option.name]:
        for value in (sample, *_unquoted(sample, option)):
            schema.validate({option.name: value, "server": {option.name: value}})
            if option.scope == "model":
                schema.validate({"models": [{option.name: value}, {option.name: None}]})


@pytest.mark.parametrize(
    ("option", "value"), [bad[:2] for bad in BAD if bad[0] not in BEYOND_SCHEMAS and bad[2].startswith("must")]
)
def test_the_schema_finds_a_value_that_the_server_refuses(option: str, value: str, schema: Any) -> None:
    if re.fullmatch(r"[+-]?\d+", value):
        value = yaml.safe_load(value)
    assert not schema.is_valid({option: value})


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/configuration.md").read_text(), re.S))
def test_the_examples_of_the_documentation_are_valid(block: str, schema: Any, tmp_path: Path) -> None:
    schema.validate(yaml.safe_load(block))
    assert Settings.load(environ=write(tmp_path / "config.yaml", block)).models


FILES = [
    FILE_OF_MLX_OPENAI_SERVER,
    "",
    "models: {qwen: org/qwen, voice: {type: tts, preload: false}}",
    "models: [org/a, {name: b, type: echo, parameters: {temp: 0.5}, sampling: {top_p: 1}, memory_limit: 2GB}]",
    "x-small: &small {type: echo, ttl: 5m}\nmodels: [{<<: *small, name: a}, {<<: *small, name: b, keep_alive: -1}]",
    "log_level: DEBUG\nserver: {host: localhost}\nparameters: {top_k: 4}",
]


@pytest.mark.parametrize("text", FILES)
def test_the_schema_takes_every_file_that_the_server_takes(text: str, schema: Any, tmp_path: Path) -> None:
    Settings.load(environ=write(tmp_path / "config.yaml", text))

    schema.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "prot: 1",
        "config: other.yaml",
        "- a",
        "models: []",
        "models: org/a",
        "models: [{port: 1}]",
        "models: [{tll: 1}]",
        "models: [{ttl: soon}]",
        "models: [8]",
        "models: [{parameters: {port: 1}}]",
        "models: {a: {prot: 1}}",
        "server: {models: [org/a]}",
    ],
)
def test_the_schema_finds_mistakes(text: str, schema: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        Settings.load(environ=write(tmp_path / "config.yaml", text))

    assert not schema.is_valid(yaml.safe_load(text))


def test_every_option_is_described(schema: Any) -> None:
    definitions = schema.schema["definitions"]

    assert all(
        definitions[option.name]["description"] == option.full_help for option in OPTIONS if option.name != "config"
    )
