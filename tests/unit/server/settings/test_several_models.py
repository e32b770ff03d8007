"""Several models without a file: `--model` given more than once, or with a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from server.cli import launch as launch_module
from server.cli._app import cli
from server.settings.settings import Settings, SettingsError
from tests.unit.server.settings.files import write


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Parse a command line of `launch` to settings."""

    def parse(line: str, environ: dict[str, str] | None = None) -> Settings:
        found: list[dict[str, Any]] = []
        monkeypatch.setattr(launch_module, "_launch", found.append)
        result = CliRunner().invoke(cli, ["launch", *line.split()])
        assert result.exit_code == 0, result.output
        return Settings.load(found[0], environ or {})

    return parse


def named(settings: Settings) -> list[tuple[str, str]]:
    return [(model.name, model.path) for model in settings.models]


def test_one_model_means_what_the_path_means(parse: Any) -> None:
    assert parse("--model org/a --served-model-name a") == parse("--model-path org/a --served-model-name a")
    assert parse("--model delay=0.05 --model-type echo") == parse("--model-path delay=0.05 --model-type echo")


def test_every_model_has_the_other_options(parse: Any) -> None:
    settings = parse("--model org/a --model b=org/b@v2 --ttl 5m --top-k 3", {"MODEL_PATH": "org/c", "QUEUE_SIZE": "7"})

    assert named(settings) == [("org/a", "org/a"), ("b", "org/b@v2")]
    assert [(m.ttl, m.sampling.top_k, m.queue_size) for m in settings.models] == [(300.0, 3, 7)] * 2


def test_one_model_may_have_a_name(parse: Any) -> None:
    assert named(parse("--model qwen=org/a")) == [("qwen", "org/a")]
    assert named(parse("--model a=delay=0.05 --model b= --model-type echo")) == [("a", "delay=0.05"), ("b", "")]


def test_a_path_with_an_equals_sign_that_exists_is_a_path(
    parse: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a=b").mkdir()
    monkeypatch.chdir(tmp_path)

    assert named(parse("--model a=b")) == [("a=b", str(tmp_path / "a=b"))]


def test_embedded_models_of_several_types_are_served_together(parse: Any) -> None:
    settings = parse("--model embedded:smollm2-135m-instruct --model voice=embedded:kokoro-82m")

    assert [(m.name, m.model_type) for m in settings.models] == [("smollm2-135m-instruct", "lm"), ("voice", "tts")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--model a/b --model a/b", "--model a/b: two models are named 'a/b', this one and --model a/b; give each"),
        ("--model a/b --model c/d --served-model-name x", "--served-model-name cannot be combined with several models"),
        ("--model a/b --model c/d --aliases x", "--aliases cannot be combined with several models"),
        ("--model a/b --model c/d --model-path e/f", "--model-path cannot be combined with several models"),
        ("--model a/b --model =c/d", "--model =c/d must be PATH, ID or NAME=PATH"),
        ("--model a/b --model c=", "--model c= must be PATH, ID or NAME=PATH"),
        ("--model a/b --model x=./gone", "--model x=./gone: ./gone does not exist"),
    ],
)
def test_a_mistake_names_the_model(line: str, message: str, parse: Any) -> None:
    with pytest.raises(SettingsError) as refused:
        parse(line)
    assert str(refused.value).startswith(message)


def test_models_of_the_command_line_are_refused_beside_those_of_a_file(parse: Any, tmp_path: Path) -> None:
    environ = write(tmp_path / "config.yaml", "models: [{type: echo}]")

    for line in ("--model a/b", "--model a/b --model c/d", "--model x=a/b"):
        with pytest.raises(SettingsError, match="--model cannot be combined with a `models` list"):
            parse(line, environ)
