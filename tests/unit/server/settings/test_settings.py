"""Sources of settings, their precedence, and the messages for unusable values."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from providers.weights import DEFAULT_IDS
from server.settings.options import CONFIG, OPTIONS, Option
from server.settings.settings import Settings, SettingsError
from tests.unit.server.settings.files import write

HOSTFILES = Path(__file__).with_name("hostfiles")

SAMPLES: dict[str, tuple[str, str, str]] = {
    "model_path": ("org/cli", "org/env", "org/file"),
    "model_type": ("echo", "lm", "echo"),
    "served_model_name": ("cli", "env", "file"),
    "context_length": ("1000", "2000", "3000"),
    "dtype": ("float32", "float16", "bfloat16"),
    "quantize": ("2", "4", "8"),
    "memory_limit": ("1GB", "2GB", "3GB"),
    "max_memory": ("1GB", "2GB", "3GB"),
    "wired_limit": ("1GB", "2GB", "0"),
    "aliases": ("cli", "env,env2", "file"),
    "load_policy": ("refuse", "wait", "refuse"),
    "ttl": ("1", "2m", "1h30m"),
    "pin": ("true", "false", "true"),
    "prefix_cache_size": ("1MB", "2MB", "0"),
    "prefix_cache_dir": ("/tmp/cli", "/tmp/env", "/tmp/file"),
    "prefix_cache_disk_size": ("1MB", "2MB", "3MB"),
    "mlx_warmup": ("false", "true", "false"),
    "on_demand": ("true", "false", "true"),
    "chat_template_file": ("{{ cli }}", "{{ env }}", "{{ file }}"),
    "chat_template_args": ('{"a": 1}', '{"a": 2}', '{"a": 3}'),
    "api_key_file": tuple(str(file) for file in sorted(Path(__file__).parent.glob("test_*.py"))[:3]),
    "prefix_cache_scope": ("key", "shared", "key"),
    "rate_limit": ("1/second", "2/minute", "3/hour"),
    "lexicon": ('{"a": "ə"}', '{"a": "ɔ"}', '{"a": "ɛ"}'),
    "prefill_step_size": ("16", "32", "64"),
    "max_tokens": ("1", "2", "3"),
    "temperature": ("0", "0.5", "1"),
    "top_p": ("0", "0.5", "1"),
    "top_k": ("1", "2", "3"),
    "min_p": ("0", "0.5", "1"),
    "repetition_penalty": ("1", "1.1", "1.2"),
    "repetition_context_size": ("1", "2", "3"),
    "presence_penalty": ("-1", "0", "1"),
    "frequency_penalty": ("-1", "0", "1"),
    "xtc_probability": ("0", "0.5", "1"),
    "xtc_threshold": ("0", "0.1", "0.5"),
    "seed": ("1", "2", "3"),
    "trust_remote_code": ("true", "false", "true"),
    "lora_paths": ("/", "/usr", "/usr/lib"),
    "lora_scales": ("1", "0.5", "-2.5"),
    "config_name": ("schnell", "dev", "fibo"),
    "image_steps": ("1", "2", "3"),
    "image_guidance": ("1", "2.5", "0"),
    "kv_bits": ("4", "8", "4"),
    "kv_group_size": ("32", "128", "64"),
    "max_kv_size": ("100", "200", "300"),
    "decode_step": ("own", "mlx-lm", "auto"),
    "draft_model": ("org/cli", "org/env", "org/file"),
    "num_draft_tokens": ("1", "2", "4"),
    "prompt_lookup": ("1", "2", "3"),
    "tensor_parallel": ("2", "3", "4"),
    "pipeline": ("2", "3", "4"),
    "hostfile": (str(HOSTFILES / "cli.json"), str(HOSTFILES / "env.json"), str(HOSTFILES / "file.json")),
    "tool_call_parser": ("none", "generic", "auto"),
    "reasoning_parser": ("none", "think", "auto"),
    "host": ("127.0.0.2", "127.0.0.3", "127.0.0.4"),
    "port": ("1", "2", "3"),
    "api_key": ("one", "two", "three"),
    "cors_origins": ("http://a", "http://b", "http://c"),
    "allowed_hosts": ("a.example", "b.example", "c.example"),
    "max_body_size": ("1MB", "2MB", "3MB"),
    "max_upload": ("1MB", "2MB", "3MB"),
    "heartbeat_interval": ("1", "2", "3"),
    "grace_period": ("1", "2", "0"),
    "response_store": ("cli.db", ":memory:", "file.db"),
    "response_store_ttl": ("1", "2", "3"),
    "response_store_size": ("1MB", "2MB", "3MB"),
    "data_dir": ("cli", "env", "file"),
    "data_size": ("1MB", "2MB", "3MB"),
    "max_media": ("1MB", "2MB", "3MB"),
    "audio_input": ("transcribe", "refuse", "transcribe"),
    "max_picture_side": ("1", "2", "3"),
    "media_timeout": ("1", "2", "3"),
    "allow_private_media": (True, "false", True),
    "media_root": ("/", "/usr", "/usr/lib"),
    "max_concurrency": ("1", "2", "3"),
    "replicas": ("2", "3", "4"),
    "devices": ("0,1", "2", "3,4,5"),
    "queue_size": ("1", "2", "0"),
    "queue_timeout": ("1", "2", "3"),
    "watchdog_timeout": ("1", "2", "0"),
    "grammar_timeout": ("1", "2", "0"),
    "max_body_total": ("1MB", "2MB", "3MB"),
    "body_timeout": ("1", "2", "3"),
    "body_min_rate": ("1kB", "2kB", "3kB"),
    "write_timeout": ("1", "2", "3"),
    "max_connections": ("1", "2", "3"),
    "max_audio_seconds": ("0", "7", "8"),
    "strict_parameters": (True, "false", True),
    "max_speech_characters": ("0", "5", "6"),
    "embeddings_truncate": ("end", "start", "none"),
    "log_level": ("debug", "warning", "error"),
    "log_format": ("json", "console", "json"),
    "log_file": ("/tmp/cli.log", "/tmp/env.log", "/tmp/new/file.log"),
    "log_bodies": (True, "false", True),
    "trace_content": (True, "false", True),
}
"""Three different values of every option: for the command line, the environment and the file."""

FIELDS = {
    "model_path": "path",
    "served_model_name": "name",
    "mlx_warmup": "warmup",
    "on_demand": "lazy",
    "chat_template_file": "chat_template",
    "prefix_cache_size": "prefix_cache_bytes",
    "prefix_cache_disk_size": "prefix_cache_disk_bytes",
    "max_body_size": "max_body_bytes",
    "max_upload": "max_upload_bytes",
}
"""Names of fields that differ from their option's name."""

AN_IMAGE_MODEL = {"MODEL_TYPE": "image-generation", "MODEL_PATH": "org/model"}

BESIDE = {
    **dict.fromkeys(("config_name", "image_steps", "image_guidance"), AN_IMAGE_MODEL),
    "prefix_cache_disk_size": {"PREFIX_CACHE_DIR": "/tmp"},
    "lora_scales": {"LORA_PATHS": "/"},
    "kv_group_size": {"KV_BITS": "8"},
    "num_draft_tokens": {"DRAFT_MODEL": "org/draft"},
    "hostfile": {"TENSOR_PARALLEL": "2"},
}
"""Variables that an option needs beside it; without them it is refused."""

# Automatic tool choice is always on: the option exists for command lines that name it.
ORDINARY = [option for option in OPTIONS if option is not CONFIG and option.name != "enable_auto_tool_choice"]


def value_of(settings: Settings, option: Option) -> Any:
    owner: Any = settings if option.scope == "server" else settings.models[0]
    name = FIELDS.get(option.name, option.name)
    return getattr(owner if hasattr(owner, name) else settings.models[0].sampling, name)


def name(option: Option) -> str:
    return option.name


@pytest.mark.parametrize("option", ORDINARY, ids=name)
def test_the_command_line_wins_over_the_environment_which_wins_over_the_file(option: Option, tmp_path: Path) -> None:
    cli, env, file = SAMPLES[option.name]
    from_file = {**write(tmp_path / "config.yaml", f"{option.name}: '{file}'\n"), **BESIDE.get(option.name, {})}
    from_env = {**from_file, option.env: env}

    assert value_of(Settings.load(environ=from_file), option) == option.parse(file)
    assert value_of(Settings.load(environ=from_env), option) == option.parse(env)
    assert value_of(Settings.load({option.name: cli}, from_env), option) == option.parse(cli)


@pytest.mark.parametrize("option", [o for o in ORDINARY if o.default is not None], ids=name)
def test_an_option_that_is_not_set_has_its_default(option: Option) -> None:
    assert value_of(Settings.load(environ={}), option) == option.default


@pytest.mark.parametrize("option", ORDINARY, ids=name)
def test_an_empty_variable_counts_as_unset(option: Option) -> None:
    assert Settings.load(environ={option.env: ""}) == Settings.load(environ={})


@pytest.mark.parametrize("option", ORDINARY, ids=name)
def test_settings_reach_another_process_unchanged(option: Option) -> None:
    settings = Settings.load({option.name: SAMPLES[option.name][0]}, BESIDE.get(option.name, {}))

    assert pickle.loads(pickle.dumps(settings)) == settings


BAD: list[tuple[str, str, str]] = [
    ("enable_auto_tool_choice", "false", "cannot be turned off: to serve without tools, set tool_call_parser to none"),
    ("port", "http", "must be a whole number from 0 to 65535, not 'http'"),
    ("port", "65536", "must be a whole number from 0 to 65535, not 65536"),
    ("port", "-1", "must be a whole number from 0 to 65535, not -1"),
    ("port", "9" * 80, "must be a whole number from 0 to 65535"),
    ("response_store", "/", "must be a file, and / is a folder"),
    ("response_store", "/no/such/folder/a.db", "must be in a folder that exists, and /no/such/folder does not"),
    ("data_dir", "/dev/null/a", "must be a folder, and /dev/null is a file"),
    ("media_root", "/dev/null", "must be a folder that exists, and /dev/null is none"),
    ("response_store_size", "0", "must be a size of at least 1000 bytes, not '0'"),
    ("max_concurrency", "0", "must be a whole number from 1 to 4096, not 0"),
    ("replicas", "0", "must be a whole number from 1 to 64, not 0"),
    ("devices", "0,x", "must be numbers of devices, counted from 0 and each once, separated by commas, not '0,x'"),
    ("context_length", "32k", "must be a whole number of at least 1, not '32k'"),
    ("queue_timeout", "nan", "must be a number of seconds above 0"),
    ("queue_timeout", "inf", "must be a number of seconds above 0"),
    ("queue_timeout", "soon", "must be a number of seconds, not 'soon'"),
    ("grace_period", "-1", "must be a number of seconds of at least 0"),
    ("memory_limit", "8 parsecs", "must be a size such as 8GB"),
    ("memory_limit", "12", "must be a size of at least"),
    ("max_memory", "8 parsecs", "must be a size such as 8GB"),
    ("ttl", "soon", "must be a number of seconds or a time such as 10m or 1h30m, not 'soon'"),
    ("ttl", "-1", "must be a number of seconds or a time"),
    ("load_policy", "never", "must be wait or refuse"),
    ("aliases", "a,,b", "must be names separated by commas"),
    ("prefix_cache_dir", "/dev/null/prompts", "must be a folder, and /dev/null is a file"),
    ("prefix_cache_disk_size", "1GB", "has no effect without --prefix-cache-dir"),
    ("prefix_cache_disk_size", "1", "must be a size of at least"),
    ("lora_paths", "/usr,", "must be folders separated by commas, not '/usr,'"),
    ("lora_paths", "/no/such/adapter", "there is no folder /no/such/adapter"),
    ("kv_bits", "6", "must be 4 or 8 (bits), not '6'"),
    ("max_kv_size", "1", "must be a whole number of at least 16, not 1"),
    ("prompt_lookup", "0", "must be a whole number from 1 to 64, not 0"),
    ("draft_model", "./no/such/folder", "./no/such/folder does not exist"),
    ("tensor_parallel", "0", "must be a whole number from 1 to 256, not 0"),
    ("hostfile", "/no/such.json", "must be a hostfile of MLX, and /no/such.json cannot be read: No such file"),
    ("hostfile", __file__, "must be a hostfile of MLX (JSON), and "),
    ("hostfile", str(HOSTFILES / "cli.json"), "has no effect without --tensor-parallel or --pipeline"),
    ("lora_scales", "1", "has no effect without --lora-paths"),
    ("lora_scales", "much", "must be numbers separated by commas, not 'much'"),
    ("kv_group_size", "64", "has no effect without --kv-bits"),
    ("num_draft_tokens", "2", "has no effect without --draft-model"),
    ("quantize", "7", "must be 2, 3, 4, 5, 6 or 8 (bits), not '7'"),
    ("mlx_warmup", "perhaps", "must be true or false, not 'perhaps'"),
    (
        "model_type",
        "ehco",
        "must be lm, multimodal, embeddings, whisper, tts, image-generation, image-edit or echo, not 'ehco'; "
        "did you mean 'echo'?",
    ),
    ("temperature", "warm", "must be a number from 0 to 100, not 'warm'"),
    ("temperature", "-1", "must be a number from 0 to 100, not '-1'"),
    ("top_p", "nan", "must be a number from 0 to 1, not 'nan'"),
    ("repetition_penalty", "0", "must be a number above 0 and up to 100, not '0'"),
    ("max_tokens", "0", "must be a whole number of at least 1, not 0"),
    ("seed", "-1", "must be a whole number from 0 to"),
    ("prefill_step_size", "1", "must be a whole number from 16 to 65536, not 1"),
    ("chat_template_file", "/no/such.jinja", "must be a Jinja file, and /no/such.jinja cannot be read: No such"),
    ("chat_template_file", "/", "must be a Jinja file, and / cannot be read: Is a directory"),
    (
        "lexicon",
        "/no/such.yaml",
        "must be a file of words and phonemes, and /no/such.yaml cannot be read: No such file",
    ),
    ("lexicon", '{"a": "ə", "b": "3"}', "has a wrong sound in line 1: b: '3' at position 0 is not in the alphabet"),
    ("lexicon", '{"a": "ə", "a": "ɔ"}', "has 'a' twice, in line 1"),
    ("lexicon", '{"a": ["ə"]}', "must have a word and its phonemes in line 1"),
    ("lexicon", "{a", "must be YAML or JSON: "),
    ("chat_template_args", "enable_thinking", "must be a JSON object, not 'enable_thinking'"),
    ("chat_template_args", '{"tools": []}', "must not have 'tools': the server sets it"),
    ("log_file", "/", "must be a file, and / is a folder"),
    ("log_file", "/dev/null/a.log", "must be a file that can be written to, and /dev/null cannot"),
    ("log_level", "loud", "must be debug, info, warning or error"),
    ("decode_step", "fast", "must be auto, mlx-lm or own"),
    ("dtype", "float64", "must be auto, float32, float16 or bfloat16"),
    ("cors_origins", "example.org", "must be origins such as https://example.org, or *, not 'example.org'"),
    ("model_path", "./no/such/folder", "./no/such/folder does not exist"),
]


@pytest.mark.parametrize(("option", "value", "message"), BAD, ids=[f"{o}={v[:12]}" for o, v, _ in BAD])
def test_a_bad_value_names_the_option_and_where_it_was_set(
    option: str, value: str, message: str, tmp_path: Path
) -> None:
    known = {o.name: o for o in OPTIONS}[option]
    sources: list[tuple[dict[str, Any], dict[str, str], str]] = [
        ({option: value}, {}, known.flag),
        ({}, {known.env: value}, f"{known.env} in the environment"),
        ({}, write(tmp_path / "config.yaml", f"{option}: '{value}'"), f"{tmp_path}/config.yaml:1: {option}"),
    ]

    for cli, environ, where in sources:
        with pytest.raises(SettingsError) as refused:
            Settings.load(cli, environ)
        assert str(refused.value).startswith(where)
        assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 8_000_000_000),
        ("8 gib", 8 * 1024**3),
        ("1.5G", 1_500_000_000),
        ("512MiB", 512 * 1024**2),
        ("2000000", 2_000_000),
    ],
)
def test_a_size_may_have_a_unit(text: str, size: int) -> None:
    assert Settings.load({"memory_limit": text}, {}).memory_limit == size


def test_without_any_setting_the_embedded_models_are_served_and_the_chat_model_is_loaded_at_start() -> None:
    chat, *others = Settings.load(environ={}).models

    assert (chat.name, chat.path, chat.model_type) == ("smollm2-135m-instruct", "embedded:smollm2-135m-instruct", "lm")
    assert (chat.max_concurrency, chat.lazy) == (8, False)
    assert [model.path for model in (chat, *others)] == [f"embedded:{id}" for id in DEFAULT_IDS]
    assert all(model.lazy for model in others)


def test_model_options_apply_to_the_embedded_chat_model_and_queue_options_to_all_embedded_models() -> None:
    chat, *others = Settings.load({"served_model_name": "small", "dtype": "bfloat16", "queue_size": "3"}, {}).models

    assert (chat.name, chat.dtype, chat.queue_size) == ("small", "bfloat16", 3)
    assert all((model.dtype, model.queue_size) == ("auto", 3) for model in others)


def test_a_model_type_without_a_path_serves_the_embedded_model_of_that_type() -> None:
    (model,) = Settings.load({"model_type": "lm"}, {}).models

    assert (model.path, model.lazy) == ("embedded:smollm2-135m-instruct", False)


@pytest.mark.parametrize(
    ("path", "served"),
    [
        ("mlx-community/Qwen3-4B-4bit", "mlx-community/Qwen3-4B-4bit"),
        ("./qwen-0.6b", "qwen-0.6b"),
        ("./qwen.Q4_1.gguf", "qwen.Q4_1"),
        ("embedded:smollm2-135m-instruct", "smollm2-135m-instruct"),
    ],
)
def test_the_default_served_name_is_derived_from_the_path(
    path: str, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("qwen-0.6b").mkdir()
    Path("qwen.Q4_1.gguf").touch()

    assert Settings.load({"model_path": path}, {}).models[0].name == served


def test_a_local_path_becomes_absolute_so_that_every_process_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models/qwen").mkdir(parents=True)

    assert Settings.load({"model_path": "models/qwen"}, {}).models[0].path == str(tmp_path / "models/qwen")


def test_the_echo_model_needs_no_path_and_has_a_higher_concurrency() -> None:
    (model,) = Settings.load({"model_type": "echo"}, {}).models

    assert (model.name, model.path, model.max_concurrency) == ("echo", "", 64)


def test_the_path_of_the_echo_model_holds_its_behaviour() -> None:
    assert Settings.load({"model_type": "echo", "model_path": "delay=0.1"}, {}).models[0].path == "delay=0.1"

    with pytest.raises(SettingsError, match="--model-path: the echo model has no setting 'speed'"):
        Settings.load({"model_type": "echo", "model_path": "speed=1"}, {})
