"""The YAML file of settings: a list of models, and messages for mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.settings.settings import Settings, SettingsError
from tests.unit.server.settings.files import write

SEVERAL = """
port: 9000
queue_size: 7
models:
  - model_path: org/big
    served_model_name: big
    max_concurrency: 2
  - model_type: echo
    queue_size: 9
"""


def test_entries_of_the_models_list_override_the_top_of_the_file(tmp_path: Path) -> None:
    settings = Settings.load(environ=write(tmp_path / "config.yaml", SEVERAL))

    assert settings.port == 9000
    assert [(m.name, m.path, m.queue_size, m.max_concurrency) for m in settings.models] == [
        ("big", "org/big", 7, 2),
        ("echo", "", 9, 64),
    ]


def test_the_command_line_overrides_every_entry_of_the_models_list(tmp_path: Path) -> None:
    settings = Settings.load({"queue_size": "3"}, write(tmp_path / "config.yaml", SEVERAL))

    assert [model.queue_size for model in settings.models] == [3, 3]


@pytest.mark.parametrize("option", ["model_path", "model_type", "served_model_name"])
def test_an_option_that_identifies_one_model_is_refused_beside_a_models_list(option: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--\S+ cannot be combined with a `models` list"):
        Settings.load({option: "echo"}, write(tmp_path / "config.yaml", SEVERAL))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_concurency: 2", "unknown key 'max_concurency' in config.yaml; did you mean 'max_concurrency'?"),
        ("max-concurrency: 2", "unknown key 'max-concurrency' in config.yaml; did you mean 'max_concurrency'?"),
        ("model: x", "unknown key 'model' in config.yaml; did you mean 'models'?"),
        ("zzz: 1", "unknown key 'zzz' in config.yaml"),
        ("1: 1", "unknown key 1 in config.yaml"),
        ("models: [{port: 1}]", "port in config.yaml, models[0] is an option of the whole server"),
        ("models: [{modle_path: x}]", "unknown key 'modle_path' in config.yaml, models[0]; did you mean 'model_path'?"),
        ("models: []", "models in config.yaml must be a list"),
        ("models: org/name", "models in config.yaml must be a list"),
        ("models: [{model_type: echo}, {model_type: echo}]", "two models are named 'echo'"),
        ("models: [{model_type: echo, queue_size: -1}]", "queue_size in config.yaml, models[0] must be a whole number"),
        ("model_path: a/b\nmodels: [{model_type: echo}]", "model_path in config.yaml cannot be combined"),
        ("config: other.yaml", "config in config.yaml has no effect"),
        ("- a\n- b", "must hold options as `key: value` lines"),
        ("port: [", "is not a YAML file"),
        ("port: true", "port in config.yaml must be a whole number"),
        ("api_key: 12345", "api_key in config.yaml must be text (put it in quotes), not 12345"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(environ=write(tmp_path / "config.yaml", text))
    assert message in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--config: cannot read .*gone\.yaml: No such file"):
        Settings.load({"config": str(tmp_path / "gone.yaml")}, {})


def test_an_empty_file_and_empty_keys_change_nothing(tmp_path: Path) -> None:
    defaults = Settings.load(environ={})

    assert Settings.load(environ=write(tmp_path / "empty.yaml", "")) == defaults
    assert Settings.load(environ=write(tmp_path / "null.yaml", "port:\nmodel_path: null\n")) == defaults


def test_origins_may_be_a_list_in_the_file_and_commas_elsewhere(tmp_path: Path) -> None:
    listed = write(tmp_path / "config.yaml", "cors_origins: ['https://a.org/', 'http://localhost:3000']")

    expected = ("https://a.org", "http://localhost:3000")
    assert Settings.load(environ=listed).cors_origins == expected
    assert Settings.load(environ={"CORS_ORIGINS": "https://a.org, http://localhost:3000"}).cors_origins == expected


@pytest.mark.parametrize(
    ("key", "lazy"), [("preload: true", False), ("preload: false", True), ("on_demand: true", True)]
)
def test_an_entry_says_whether_its_model_is_loaded_at_start(key: str, lazy: bool, tmp_path: Path) -> None:
    environ = write(tmp_path / "config.yaml", f"models: [{{type: echo, {key}}}]")

    assert Settings.load(environ=environ).models[0].lazy is lazy


@pytest.mark.parametrize(
    ("given", "seconds"), [("5m", 300.0), ("-1", None), ("-1m", None), ("0", 0.001), ("24h", 86400.0), ("90", 90.0)]
)
def test_the_time_of_ollama_means_what_it_means_there(given: str, seconds: float | None, tmp_path: Path) -> None:
    environ = write(tmp_path / "config.yaml", f"models: [{{type: echo, keep_alive: {given}}}]")

    assert Settings.load(environ=environ).models[0].ttl == seconds


def test_no_model_has_more_memory_than_the_server(tmp_path: Path) -> None:
    environ = write(
        tmp_path / "config.yaml",
        "memory_limit: 8GB\n"
        "models:\n"
        "- {type: echo, name: a}\n"
        "- {type: echo, name: b, max_memory: 2GB}\n"
        "- {type: echo, name: c, max_memory: 20GB}\n"
        "- {type: echo, name: d, memory_limit: 3GB}\n",
    )

    settings = Settings.load(environ=environ)

    assert settings.memory_limit == 8_000_000_000
    assert [model.max_memory for model in settings.models] == [
        8_000_000_000,
        2_000_000_000,
        8_000_000_000,
        3_000_000_000,
    ]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("{name: a, aliases: b}, {name: b}", "the alias 'b' of 'a' also names 'b'"),
        ("{name: a, aliases: [x]}, {name: b, aliases: [y, x]}", "the alias 'x' of 'b' also names 'a'"),
    ],
)
def test_two_models_with_one_name_are_refused(entries: str, message: str, tmp_path: Path) -> None:
    environ = write(tmp_path / "config.yaml", f"model_type: echo\nmodels: [{entries}]")

    with pytest.raises(SettingsError, match=message):
        Settings.load(environ=environ)


def test_a_model_has_aliases(tmp_path: Path) -> None:
    environ = write(tmp_path / "config.yaml", "models: [{type: echo, name: a, aliases: [b, a, b, c], ttl: 0}]")

    model = Settings.load(environ=environ).models[0]

    assert (model.aliases, model.ttl) == (("b", "c"), None)
