"""The command as a whole: help, imports, and errors before anything runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import providers.weights
from providers import extras
from providers.weights import LocalModel, WeightsError, removal
from providers.weights.removal import Removal
from server.cli._app import cli
from server.cli._running import probe
from server.cli.launch import _with_local_weights
from server.cli.models import removal as removal_command
from server.settings.options import OPTIONS
from server.settings.settings import Settings
from tests.unit.providers.memory.test_estimate import folder

HEAVY = ("asyncio", "granian", "httpx", "huggingface_hub", "litestar", "mlx", "opentelemetry", "rich.progress", "yaml")


def modules_after(code: str) -> set[str]:
    """Names of the modules imported in a new process that ran `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(result.stdout))


def test_help_starts_without_anything_heavy() -> None:
    assert modules_after("import server.cli._app").isdisjoint(HEAVY)


def test_neither_the_main_process_nor_the_worker_imports_mlx() -> None:
    imported = modules_after(
        "import server.run.granian, server.app, server.run.banner, providers.registry, providers.weights\n"
        "from server.settings.settings import Settings\n"
        "server.app.create_app(Settings.load({'model_type': 'echo'}, {}))"
    )

    assert "litestar" in imported
    assert not {name for name in imported if name.partition(".")[0] in {"mlx", "mlx_lm", "transformers"}}


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["launch"],
        ["chat"],
        ["speak"],
        ["image"],
        ["models"],
        ["models", "pull"],
        ["models", "info"],
        ["models", "rm"],
        ["doctor"],
    ],
)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help(command: list[str], flag: str) -> None:
    result = CliRunner().invoke(cli, [*command, flag])

    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_the_help_of_launch_names_every_option_and_its_variable() -> None:
    result = CliRunner().invoke(cli, ["launch", "--help"], env={"COLUMNS": "200"})

    for option in OPTIONS:
        assert option.flag in result.stdout
        assert option.env in result.stdout


def test_version_is_the_distributions() -> None:
    assert CliRunner().invoke(cli, ["--version"]).stdout.startswith("mlx-openai-server 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "http"], "--port must be a whole number from 0 to 65535, not 'http'"),
        (
            ["--model-type", "image"],
            "--model-type must be lm, multimodal, embeddings, whisper, tts, image-generation, image-edit or echo, not "
            "'image'; did you mean 'image-edit'?",
        ),
        (["--config-name", "schnell"], "--config-name is for models of type image-generation or image-edit, not lm"),
        (["--lora-paths", "here"], "--lora-paths: there is no folder here"),
        (
            ["--no-enable-auto-tool-choice"],
            "--enable-auto-tool-choice cannot be turned off: to serve without tools, set tool_call_parser to none",
        ),
    ],
)
def test_a_bad_option_of_launch_is_one_line_and_status_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(cli, ["launch", *arguments])

    assert (result.exit_code, result.stderr) == (2, f"Error: {message}\n")


def test_models_list_shows_fetched_and_unfetched_models(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [
        LocalModel(id="embedded:a", source="embedded", pulled=True, size=102_000_000, title="A", license="MIT"),
        LocalModel(id="embedded:b", source="embedded", pulled=False, size=5, title="B", license="MIT"),
        LocalModel(id="org/c", source="hub", pulled=False, size=2_500_000_000),
    ]
    monkeypatch.setattr(providers.weights, "list_local", lambda: models)

    lines = CliRunner().invoke(cli, ["models", "list"]).stdout.splitlines()

    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if "/" in line or "embedded:" in line}
    assert rows == {
        "embedded:a": "fetched 102 MB A MIT",
        "embedded:b": "not fetched 0 MB B MIT",
        "org/c": "incomplete 2.5 GB",
    }


def test_models_pull_embedded_fetches_the_default_models(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolve(path: str, progress: Any) -> Path:
        asked.append(path)
        return Path("/cache") / path

    monkeypatch.setattr(providers.weights, "resolve", resolve)

    result = CliRunner().invoke(cli, ["models", "pull", "embedded", "org/name", "org/name"])

    assert asked == [*(f"embedded:{id}" for id in providers.weights.DEFAULT_IDS), "org/name"]
    assert "org/name is in /cache/org/name" in result.stdout


def test_models_pull_shows_the_reason_of_a_failure_and_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(path: str, progress: Any) -> Path:
        raise WeightsError("no network")

    monkeypatch.setattr(providers.weights, "resolve", resolve)

    result = CliRunner().invoke(cli, ["models", "pull", "org/name"])

    assert (result.exit_code, result.stderr) == (1, "Error: no network\n")


def test_models_info_prints_a_table_or_json(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", {"model_type": "llama"}, a=("BF16", (10, 10)))

    table = CliRunner().invoke(cli, ["models", "info", str(path)], env={"COLUMNS": "200"})
    found = json.loads(CliRunner().invoke(cli, ["models", "info", str(path), "--json"]).stdout)

    assert "bfloat16" in table.stdout
    assert (found["model"], found["path"], found["dtype"]) == (str(path), str(path), "bfloat16")


def test_models_info_of_a_model_that_is_not_here_ends_with_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    result = CliRunner().invoke(cli, ["models", "info", "embedded:kokoro-82m"])

    assert result.exit_code == 1
    assert "models pull embedded:kokoro-82m" in result.stderr


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The models that were removed."""
    names: list[str] = []

    def plan(name: str) -> Removal:
        if name.startswith("/"):
            raise WeightsError(f"{name} is your own folder")
        return Removal(model=name, path=tmp_path, what="a model", size=5_000_000, execute=lambda: names.append(name))

    monkeypatch.setattr(removal, "plan_removal", plan)
    monkeypatch.setattr(removal_command, "_served", lambda: {"small"})
    return names


def test_models_rm_asks_before_it_deletes(removed: list[str]) -> None:
    refused = CliRunner().invoke(cli, ["models", "rm", "org/name"], input="n\n")
    assert (refused.exit_code, removed) == (1, [])

    agreed = CliRunner().invoke(cli, ["models", "rm", "org/name", "embedded:small"], input="y\n")
    assert (agreed.exit_code, removed) == (0, ["org/name", "embedded:small"])
    assert "Delete these 2 models?" in agreed.stdout
    assert "org/name is deleted: 5 MB are free" in agreed.stdout
    assert "embedded:small is served at" in agreed.stdout
    assert "org/name is served" not in agreed.stdout


def test_models_rm_with_yes_does_not_ask(removed: list[str]) -> None:
    assert CliRunner().invoke(cli, ["models", "rm", "--yes", "org/name"]).exit_code == 0
    assert removed == ["org/name"]


def test_models_rm_deletes_nothing_if_one_name_is_refused(removed: list[str]) -> None:
    result = CliRunner().invoke(cli, ["models", "rm", "--yes", "org/name", "/own"])

    assert (result.exit_code, result.stderr, removed) == (1, "Error: /own is your own folder\n", [])


def test_doctor_ends_with_1_and_names_the_problem_that_prevents_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = probe.Section("MLX", [probe.Finding("mlx", "not installed", "problem")])
    monkeypatch.setattr(probe, "examine", lambda: [broken])

    result = CliRunner().invoke(cli, ["doctor"])

    assert result.exit_code == 1
    assert result.stderr == "\nNo model can be served: mlx: not installed\n"


@pytest.mark.parametrize("option", ["--backend", "--model"])
def test_doctor_s_options_of_a_hostfile_need_one(option: str) -> None:
    result = CliRunner().invoke(cli, ["doctor", option, "ring"])

    assert (result.exit_code, result.stderr) == (2, f"Error: {option} needs --hostfile\n")


def test_doctor_refuses_a_hostfile_that_is_not_there() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--hostfile", "/no/hosts.json"])

    assert (result.exit_code, result.stderr) == (2, "Error: Hostfile /no/hosts.json doesn't exist\n")


def test_doctor_names_what_is_missing_for_a_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_mlx", lambda machine: [])
    monkeypatch.setattr("providers.speech.languages.shutil.which", lambda program: None)

    (section,) = [section for section in probe.examine() if section.title == "Languages of speech"]

    found = {finding.name: finding for finding in section.findings}
    assert found["en-US American English"].state == "ok"
    assert found["fr-FR French"].state == "note"
    assert "`apt install espeak-ng`" in found["fr-FR French"].value


@pytest.mark.skipif(sys.platform != "linux", reason="two of the extras are for Linux")
def test_doctor_lists_every_extra_with_the_command_that_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "is_importable", lambda module: module in {"mlx_embeddings", "av", "mlx_cuda_12"})
    monkeypatch.setattr(probe, "_mlx", lambda machine: [])

    (section,) = [section for section in probe.examine() if section.title == "Extras"]

    assert {finding.name: finding.state for finding in section.findings} == {
        "cpu": "note",
        "cuda": "ok",
        "embedded": "note",
        "embeddings": "ok",
        "transcription": "note",
        "speech": "note",
        "speech-ja": "note",
        "speech-zh": "note",
        "images": "note",
        "vision": "note",
        "retrieval": "note",
        "talk": "note",
        "bench": "note",
    }
    values = {finding.name: finding.value for finding in section.findings}
    assert values["embeddings"] == "installed: text embeddings and reranking"
    assert values["bench"] == (
        "not installed; `pip install 'mlx-openai-server-lab[bench]'` adds plots of what `bench` measured"
    )
    assert (
        "(missing: mlx_audio, tiktoken, webrtcvad); `pip install 'mlx-openai-server-lab[transcription]'`"
        in (values["transcription"])
    )


def test_launch_ends_with_one_sentence_when_its_only_model_needs_a_missing_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extras, "is_importable", lambda module: module != "mlx_audio")

    result = CliRunner().invoke(cli, ["launch", "--model-type", "tts"])

    assert result.exit_code == 1
    assert result.stderr == (
        "Error: kokoro-82m is unavailable: the extra `speech` is not installed (missing: mlx_audio): "
        "pip install 'mlx-openai-server-lab[speech]'\n"
    )


def test_launch_fetches_no_weights_of_a_model_that_cannot_be_served(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(extras, "is_importable", lambda module: module != "mlx_audio")
    monkeypatch.setattr(providers.weights, "resolve", lambda path, progress: Path("/weights") / path)
    config = tmp_path / "models.yaml"
    config.write_text("models: [{model_path: org/chat}, {model_type: tts}, {model_type: echo}]")

    settings = _with_local_weights(Settings.load({"config": str(config)}, {}))

    assert [model.path for model in settings.models] == ["/weights/org/chat", "embedded:kokoro-82m", ""]


def test_doctor_survives_an_mlx_that_aborts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_PROBE", "import os; os.abort()")

    sections = {section.title: section.findings for section in probe.examine()}

    assert [finding.state for finding in sections["MLX"]][-1] == "problem"
    assert {"Python", "Machine", "Weights", "Extras"} <= set(sections)
