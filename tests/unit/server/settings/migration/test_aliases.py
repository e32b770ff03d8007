"""Command lines and files of other servers: every option has an effect, is noted, or is refused with a reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from server.cli import launch as launch_module
from server.cli._app import cli
from server.settings.migration.aliases import ALIASES
from server.settings.migration.page import outcome
from server.settings.migration.programs import PROGRAMS
from server.settings.options import OPTIONS_BY_NAME
from server.settings.settings import Settings, SettingsError

MLX_OPENAI_SERVER = {
    "--model-path": "mlx-community/Qwen3-4B-4bit",
    "--model-type": "lm",
    "--context-length": "8192",
    "--served-model-name": "qwen",
    "--port": "8080",
    "--host": "0.0.0.0",
    "--max-concurrency": "2",
    "--queue-timeout": "60",
    "--queue-size": "50",
    "--mlx-warmup": "false",
    "--quantize": "8",
    "--config-name": "flux-dev --model-type image-generation --model-path org/model",
    "--lora-paths": "/usr",
    "--lora-scales": "0.5 --lora-paths /usr",
    "--disable-auto-resize": "",
    "--log-file": "logs/app.log",
    "--no-log-file": "",
    "--log-level": "DEBUG",
    "--enable-auto-tool-choice": "",
    "--tool-call-parser": "qwen3",
    "--reasoning-parser": "qwen3_moe",
    "--trust-remote-code": "",
    "--chat-template-file": "template.jinja",
    "--debug": "",
    "--prompt-cache-size": "20",
    "--max-bytes": "4000000000",
    "--prompt-cache-dir": "/tmp/prompts",
    "--draft-model-path": "mlx-community/Qwen3-0.6B-4bit",
    "--num-draft-tokens": "2 --draft-model-path org/draft",
    "--kv-bits": "8",
    "--kv-group-size": "32 --kv-bits 8",
    "--quantized-kv-start": "1000",
    "--decode-concurrency": "16",
    "--prompt-concurrency": "4",
    "--prefill-step-size": "1024",
    "--disable-batching": "",
    "--max-tokens": "512",
    "--temperature": "0.7",
    "--top-p": "0.9",
    "--top-k": "40",
    "--min-p": "0.05",
    "--repetition-penalty": "1.1",
    "--presence-penalty": "0.5",
    "--xtc-probability": "0.5",
    "--xtc-threshold": "0.2",
    "--seed": "42",
    "--repetition-context-size": "64",
}
"""The options of `launch` of mlx-openai-server 1.8 and two of earlier versions, each with a typical value."""

MLX_LM = {
    "--model": "mlx-community/Qwen3-4B-4bit",
    "--adapter-path": "/usr",
    "--host": "0.0.0.0",
    "--port": "8080",
    "--allowed-origins": "http://localhost:3000,http://localhost:5173",
    "--draft-model": "mlx-community/Qwen3-0.6B-4bit",
    "--num-draft-tokens": "4 --draft-model org/draft",
    "--trust-remote-code": "",
    "--log-level": "ERROR",
    "--chat-template": "{{messages[0].content}}",
    "--use-default-chat-template": "",
    "--temp": "0.7",
    "--top-p": "0.9",
    "--top-k": "40",
    "--min-p": "0.05",
    "--max-tokens": "512",
    "--chat-template-args": '{"enable_thinking":false}',
    "--decode-concurrency": "16",
    "--prompt-concurrency": "4",
    "--prefill-step-size": "1024",
    "--prompt-cache-size": "20",
    "--prompt-cache-bytes": "2GB",
    "--kv-bits": "4",
    "--kv-group-size": "32 --kv-bits 4",
    "--quantized-kv-start": "5000",
    "--pipeline": "2",
}
"""The options of `mlx_lm.server`, each with a typical value."""

WITHOUT_EFFECT_HERE = {"--model-type", "--enable-auto-tool-choice", "--no-log-file"}
"""They ask for what is so in any case."""


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Parse a command line of `launch` to settings."""
    monkeypatch.chdir(tmp_path)
    Path("template.jinja").write_text("{{ messages }}")

    def parse(line: str) -> Settings:
        found: list[dict[str, Any]] = []
        monkeypatch.setattr(launch_module, "_launch", found.append)
        result = CliRunner().invoke(cli, ["launch", *line.split()])
        assert result.exit_code == 0, result.output
        return Settings.load(found[0], {})

    return parse


def assert_known(parse: Any, option: str, value: str) -> None:
    line = f"{option} {value}" if "--model-type" in option + value else f"--model-type lm {option} {value}"
    settings, default = parse(line), parse("--model-type lm")
    if option in WITHOUT_EFFECT_HERE:
        assert settings == default
    elif settings.notes:
        assert settings.notes[0].startswith(f"{option} has no effect: ")
    else:
        assert settings != default


@pytest.mark.parametrize(("option", "value"), MLX_OPENAI_SERVER.items(), ids=MLX_OPENAI_SERVER)
def test_every_option_of_mlx_openai_server_is_known(parse: Any, option: str, value: str) -> None:
    assert_known(parse, option, value)


@pytest.mark.parametrize(("option", "value"), MLX_LM.items(), ids=MLX_LM)
def test_every_option_of_mlx_lm_server_is_known(parse: Any, option: str, value: str) -> None:
    assert_known(parse, option, value)


@pytest.mark.parametrize("model_type", ["lm", "echo"])
def test_the_pipeline_switch_of_mlx_lm_server_is_one_process(parse: Any, model_type: str) -> None:
    assert parse(f"--pipeline --model-type {model_type}") == parse(f"--model-type {model_type}")


def test_the_options_of_mlx_lm_server_are_those_of_the_installed_version() -> None:
    import importlib.util

    found = importlib.util.find_spec("mlx_lm")
    assert found is not None
    assert found.origin is not None
    source = Path(found.origin).with_name("server.py").read_text()

    assert set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', source)) == set(MLX_LM)


@pytest.mark.parametrize(
    ("line", "where", "expected"),
    [
        ("--temp 0.3", "sampling.temperature", 0.3),
        ("--default-top-p 0.5", "sampling.top_p", 0.5),
        ("--model org/name", "path", "org/name"),
        ("--adapter-path /usr", "lora_paths", ("/usr",)),
        ("--draft-model-path org/name", "draft_model", "org/name"),
        ("--prompt-cache-dir /tmp/prompts", "prefix_cache_dir", "/tmp/prompts"),
        ("--prompt-cache-bytes 2GB", "prefix_cache_bytes", 2_000_000_000),
        ("--max-bytes 9223372036854775808", "prefix_cache_bytes", 1 << 63),
        ("--cache-memory-mb 100", "prefix_cache_bytes", 100 << 20),
        ("--prompt-cache-size 0", "prefix_cache_bytes", 0),
        ("--auto-unload-idle-seconds 300", "ttl", 300.0),
        ("--idle-unload-seconds 0", "ttl", None),
        ("--keep-alive 5m", "ttl", 300.0),
        ("--max-model-memory 2GB", "max_memory", 2_000_000_000),
        ("--memory-budget-gb 68", "max_memory", 68_000_000_000),
        ("--prompt-cache-size 10", "prefix_cache_bytes", None),
        ("--decode-concurrency 4", "max_concurrency", 4),
        ("--decode-concurrency 32 --prompt-concurrency 8", "max_concurrency", 32),
        ("--disable-batching", "max_concurrency", 1),
        ("--disable-batching false", "max_concurrency", 8),
        ("--prefill-step-size 512", "prefill_step_size", 512),
        ("--kv-bits 8 --quantized-kv-start 0", "kv_bits", 8),
        ("--kv-cache-dtype int4", "kv_bits", 4),
        ("--kv-cache-dtype bf16", "kv_bits", None),
        ("--chat-template {{messages}}", "chat_template", "{{messages}}"),
        ("--chat-template-file template.jinja", "chat_template", "{{ messages }}"),
        ("--lazy-load", "lazy", True),
        ("--tool-call-parser hermes", "tool_call_parser", "json_tools"),
        ("--tool-call-parser functiongemma", "tool_call_parser", "function_gemma"),
        ("--reasoning-parser glm4-moe", "reasoning_parser", "glm47"),
        ("--no-thinking", "reasoning_parser", "none"),
    ],
)
def test_an_alias_sets_our_option(parse: Any, line: str, where: str, expected: object) -> None:
    value: Any = parse(line).models[0]
    for part in where.split("."):
        value = getattr(value, part)

    assert value == expected


def test_the_log_of_other_servers(parse: Any) -> None:
    assert parse("--debug").log_level == "debug"
    assert parse("--debug --log-level INFO").log_level == "info"
    assert parse("--log-level CRITICAL").log_level == "error"
    assert parse("--log-file logs/app.log").log_file == str(Path("logs/app.log").absolute())
    assert Settings.load({"no_log_file": True}, {"LOG_FILE": "/tmp/env.log"}).log_file is None


def test_a_name_of_ours_takes_precedence_and_the_other_is_noted(parse: Any) -> None:
    settings = parse("--temp 0.1 --temperature 0.2")

    assert settings.models[0].sampling.temperature == 0.2
    assert settings.notes == ("--temp has no effect: --temperature takes precedence",)


def test_an_alias_takes_precedence_over_the_environment() -> None:
    assert Settings.load({"temp": "0.1"}, {"DEFAULT_TEMPERATURE": "0.9"}).models[0].sampling.temperature == 0.1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temp": "hot"}, "--temp must be a number from 0 to 100, not 'hot'"),
        ({"decode_concurrency": "0"}, "--decode-concurrency must be a whole number from 1 to 4096, not 0"),
        ({"models_config": "models.yaml"}, "--models-config is not supported: move its `models` into the file of"),
        ({"timeout": "30"}, "--timeout is not supported: a request may have a `timeout` of its own"),
    ],
)
def test_a_message_names_the_option_as_it_was_given(given: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(given, {})
    assert str(refused.value).startswith(message)


def test_a_value_that_asks_for_what_is_so_in_any_case_is_not_noted() -> None:
    assert Settings.load({"stream_interval": "1", "quantized_kv_start": "0"}, {}).notes == ()


FILE = """
server:
  host: 0.0.0.0
  port: 9000
  log_level: DEBUG
  no_log_file: true
models:
  - model_path: org/big
    model_type: lm
    served_model_name: big
    context_length: 4096
    queue_size: 50
    queue_timeout: 60
    batch_completion_size: 4
    batch_prefill_size: 2
    batch_prefill_step_size: 512
    prompt_cache_size: 10
    prompt_cache_max_bytes: 4000000000
    default_temperature: 0.5
    default_max_tokens: 100
    default_top_k: null
    reasoning_parser: hermes
    message_converter: qwen3
    debug: true
  - model_path: org/embeddings
    model_type: embeddings
    on_demand: true
    on_demand_idle_timeout: 120
"""


def test_the_file_of_mlx_openai_server_works(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(FILE)

    settings = Settings.load({"config": str(tmp_path / "config.yaml")}, {})

    assert (settings.host, settings.port, settings.log_level, settings.log_file) == ("0.0.0.0", 9000, "debug", None)
    big, embeddings = settings.models
    assert (big.name, big.max_concurrency, big.prefill_step_size, big.max_tokens) == ("big", 4, 512, 100)
    assert (big.prefix_cache_bytes, big.sampling.temperature, big.reasoning_parser) == (4_000_000_000, 0.5, "think")
    assert (embeddings.name, embeddings.lazy, embeddings.ttl) == ("org/embeddings", True, 120.0)
    assert [note.split()[1].rpartition(".")[2] for note in settings.notes] == [
        "batch_prefill_size",
        "prompt_cache_size",
        "message_converter",
        "debug",
    ]
    assert "set it at the top of the file" in settings.notes[3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server: here", "config.yaml:1: server must hold options as `key: value` lines"),
        ("server: {prot: 1}", "config.yaml:1: server.prot is not an option; did you mean 'port'?"),
        ("debug: perhaps", "config.yaml:1: debug must be true or false, not 'perhaps'"),
    ],
)
def test_a_mistake_in_such_a_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)

    with pytest.raises(SettingsError) as refused:
        Settings.load({"config": str(tmp_path / "config.yaml")}, {})
    assert str(refused.value) == f"{tmp_path}/{message}"


def flags_of(program: str) -> set[str]:
    rows = next(one.rows for one in PROGRAMS if one.name == program)
    return {row if isinstance(row, str) else row[0] for row in rows}


def test_the_page_lists_every_option_and_every_alias() -> None:
    assert flags_of("mlx-openai-server") == {"--config", *MLX_OPENAI_SERVER}
    assert flags_of("mlx_lm.server") == set(MLX_LM)
    listed = {flag for program in PROGRAMS for flag in flags_of(program.name)}
    keys = {key for program in PROGRAMS for key in program.keys}
    for alias in ALIASES.values():
        assert not alias.as_flag or alias.flag in listed or alias.name in keys, alias.name
        assert not alias.in_file or alias.name in keys or alias.flag in listed, alias.name
        assert outcome(alias.name)
        assert not alias.to or alias.to in OPTIONS_BY_NAME


def test_help_lists_no_alias() -> None:
    shown = CliRunner().invoke(cli, ["launch", "--help"], env={"COLUMNS": "200"}).stdout

    assert not [alias.flag for alias in ALIASES.values() if re.search(rf"^│ {alias.flag}\s", shown, re.MULTILINE)]


@pytest.mark.parametrize(("typo", "meant"), [("--max-token", "--max-tokens"), ("--mlx-warmpu", "--mlx-warmup")])
def test_a_typo_gets_a_suggestion(typo: str, meant: str) -> None:
    result = CliRunner().invoke(cli, ["launch", typo, "5"], env={"COLUMNS": "200"})

    assert result.exit_code == 2
    assert f"'{meant}'" in result.output
