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
        ("max_concurency: 2", ":1: max_concurency is not an option; did you mean 'max_concurrency'?"),
        ("max-concurrency: 2", ":1: max-concurrency is not an option; did you mean 'max_concurrency'?"),
        ("model: x", ":1: model is not an option; did you mean 'models'?"),
        ("zzz: 1", ":1: zzz is not an option"),
        ("1: 1", ":1: 1 is not an option"),
        ("port: 1\n[a]: 1", ":2: a key must be a name"),
        ("models: [{port: 1}]", ":1: models[0].port is an option of the whole server"),
        ("models:\n- modle_path: x", ":2: models[0].modle_path is not an option; did you mean 'model_path'?"),
        ("models:\n- type: echo\n- type: echo\n  tll: 5", ":4: models[1].tll is not an option; did you mean 'ttl'?"),
        ("models: []", ":1: models must be a list"),
        ("models: {}", ":1: models must be a list"),
        ("models: org/name", ":1: models must be a list"),
        ("models:\n- 8", ":2: models[0] must hold the options of a model"),
        ("models:\n  a:\n  b: 8", ":3: models.b must hold the options of a model"),
        (
            "models:\n  a:\n    type: echo\n    name: b",
            ":4: models.a.name has no effect: the model is named by",
        ),
        (
            "models:\n- model_type: echo\n\n- model_type: echo",
            "config.yaml:4: models[1]: two models are named 'echo', this one and config.yaml:2: models[0]; give each",
        ),
        (
            "model_type: echo\nmodels:\n- name: a\n- id: a",
            "config.yaml:4: models[1].id: two models are named 'a', this one and config.yaml:3: models[0].name; give",
        ),
        (
            "model_type: echo\nmodels:\n- name: a\n- name: b\n  aliases: [c, a]",
            "config.yaml:5: models[1].aliases: the alias 'a' of 'b' also names 'a', config.yaml:3: models[0].name",
        ),
        ("models:\n- model_type: echo\n  queue_size: -1", ":3: models[0].queue_size must be a whole number"),
        ("models:\n- model_type: echo\n  top_k: -8", ":3: models[0].top_k must be a whole number"),
        ("models:\n- parameters:\n    top_k: -8", ":3: models[0].parameters.top_k must be a whole number"),
        ("models:\n- parameters:\n    port: 8", ":3: models[0].parameters.port is not a parameter of sampling"),
        (
            "models:\n- sampling:\n    topp: 1",
            ":3: models[0].sampling.topp is not a parameter of sampling; did",
        ),
        ("models:\n- parameters: 8", ":2: models[0].parameters must hold parameters"),
        (
            "models:\n- top_k: 5\n  parameters:\n    top_k: 8",
            "config.yaml:4: models[0].parameters.top_k is also set as config.yaml:2: models[0].top_k",
        ),
        (
            "models:\n- memory_limit: 1GB\n  max_memory: 2GB",
            ":2: models[0].memory_limit is also set as config.yaml:3: models[0].max_memory",
        ),
        ("model_path: a/b\nmodels: [{model_type: echo}]", ":1: model_path cannot be combined"),
        ("config: other.yaml", ":1: config has no effect"),
        ("port: 1\nserver:\n  prot: 2", ":3: server.prot is not an option; did you mean 'port'?"),
        ("server: 2", ":1: server must hold options as `key: value` lines"),
        ("- a\n- b", ":1: the file must hold options as `key: value` lines"),
        ("port: 1\nport: 2", ":2: port is set twice, first in line 1"),
        ("models:\n- ttl: 1\n  ttl: 2", ":3: ttl is set twice, first in line 2"),
        ("port: 1\nhost: [", ":2: this is not YAML: "),
        ("models:\n- type: echo\n\tname: a", ":3: this is not YAML: there is a tab; indent with spaces"),
        ("port: 1\nhost: !python/name:os.system", ":2: this is not YAML: could not determine a constructor"),
        ("port: 1\n---\nport: 2", ":2: this is not YAML: "),
        ("port: 1\nhost: \x07", ":2: this is not YAML: "),
        ("port: true", ":1: port must be a whole number"),
        ("api_key: 12345", ":1: api_key must be text (put it in quotes), not 12345"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(environ=write(tmp_path / "config.yaml", text))
    assert (
        str(refused.value).replace(f"{tmp_path}/", "").startswith(f"config.yaml{message.removeprefix('config.yaml')}")
    )


def test_text_in_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"port: 1\nhost: \xff")

    with pytest.raises(SettingsError, match=r"config\.yaml:2: this is not UTF-8"):
        Settings.load({"config": str(tmp_path / "config.yaml")}, {})


def test_models_may_stand_under_their_ids(tmp_path: Path) -> None:
    text = """
    models:
      qwen: org/qwen
      org/small:
        path: org/small@v2
        type: lm
      smollm2:
    """

    models = Settings.load(environ=write(tmp_path / "config.yaml", text)).models

    assert [(model.name, model.path) for model in models] == [
        ("qwen", "org/qwen"),
        ("org/small", "org/small@v2"),
        ("smollm2", "embedded:smollm2-135m-instruct"),
    ]


def test_an_entry_may_be_the_path_of_a_model(tmp_path: Path) -> None:
    models = Settings.load(environ=write(tmp_path / "config.yaml", "models: [org/a, org/b@main]")).models

    assert [(model.name, model.path) for model in models] == [("org/a", "org/a"), ("org/b", "org/b@main")]


def test_parameters_of_sampling_may_stand_together(tmp_path: Path) -> None:
    text = """
    sampling: {top_p: 0.5, top_k: 9}
    models:
      - path: org/a
        parameters: {temp: 0.25, default_top_k: 5, max_tokens: 7}
    """

    (model,) = Settings.load(environ=write(tmp_path / "config.yaml", text)).models

    assert (model.sampling.temperature, model.sampling.top_p, model.sampling.top_k) == (0.25, 0.5, 5)
    assert model.max_tokens == 7


def test_entries_may_share_keys_by_anchors(tmp_path: Path) -> None:
    text = """
    x-small: &small {type: echo, ttl: 5m, queue_size: 3}
    models:
      - {<<: *small, name: a}
      - {<<: *small, name: b, queue_size: 4}
    """

    models = Settings.load(environ=write(tmp_path / "config.yaml", text)).models

    assert [(model.name, model.ttl, model.queue_size) for model in models] == [("a", 300.0, 3), ("b", 300.0, 4)]


def test_an_embedded_model_has_its_own_type(tmp_path: Path) -> None:
    models = Settings.load(environ=write(tmp_path / "config.yaml", "models: ['embedded:kokoro-82m']")).models

    assert [(model.name, model.model_type) for model in models] == [("kokoro-82m", "tts")]


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
