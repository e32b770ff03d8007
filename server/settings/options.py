"""The table of options: the command line, environment, YAML file, `.env.example` and docs are generated from it.

An option's `name` is its YAML key and, with dashes, its flag. `env` is its environment variable; `parse` comes from
`server.settings.parsers`. The file is as long as the table.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import attrs

from providers.capabilities import MODALITIES, ModelType
from providers.spec import Dtype
from server.settings.parsers import (
    Parser,
    always,
    boolean,
    choice,
    database,
    factors,
    hosts,
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
    """One setting. `default` is a value that `parse` could return; `default_text` is its description in the help."""

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
    """A value for `.env.example`, for options whose default is not one."""
    supported: bool = True
    """False: the option is planned. A value for it is refused, never ignored."""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def flags(self) -> str:
        """The declaration for click: a boolean has a positive and a negative form."""
        dashed = self.name.replace("_", "-")
        return f"--{dashed}/--no-{dashed}" if self.boolean else f"--{dashed}"

    @property
    def full_help(self) -> str:
        tail = f" Default: {self.default_text}." if self.default_text else ""
        note = "" if self.supported else " Not supported by this version."
        return f"{self.help}{tail}{note}"


_TYPES_LATER = tuple(name for name in get_args(ModelType) if name not in MODALITIES)
_CONCURRENCY = ", ".join(f"{row.max_concurrency} for {name}" for name, row in MODALITIES.items())
_WHAT_TYPES_DO = ", ".join(f"{name} {row.does}" for name, row in MODALITIES.items())


def _model(name: str, env: str, help: str, parse: Parser, **rest: Any) -> Option:
    return Option(name=name, env=env, help=help, parse=parse, group=rest.pop("group", "Model"), scope="model", **rest)


def _server(name: str, env: str, help: str, parse: Parser, **rest: Any) -> Option:
    return Option(name=name, env=env, help=help, parse=parse, group=rest.pop("group", "Server"), scope="server", **rest)


CONFIG = _server(
    "config",
    "CONFIG_FILE",
    "YAML file whose keys are these options, with underscores instead of dashes. A `models` list serves several "
    "models; its entries override the keys outside the list.",
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
        default_text="the embedded model of --model-type, or of every type: small models from the package index",
        metavar="PATH|ID",
        example="mlx-community/Qwen3-4B-Instruct-2507-4bit",
    ),
    _model(
        "model_type",
        "MODEL_TYPE",
        f"What the model does: {_WHAT_TYPES_DO}.",
        choice(MODALITIES, _TYPES_LATER),
        default="lm",
        default_text="lm",
        metavar="|".join(MODALITIES),
    ),
    _model(
        "served_model_name",
        "SERVED_MODEL_NAME",
        "Model name that clients send in requests.",
        text,
        default_text="the Hugging Face id, or the name of the folder or file",
        metavar="NAME",
        example="qwen",
    ),
    _model(
        "context_length",
        "CONTEXT_LENGTH",
        "Maximum number of tokens in prompt and answer together; never above the model's own limit.",
        integer(1),
        default=32768,
        default_text="32768",
        metavar="TOKENS",
    ),
    _model(
        "dtype",
        "DTYPE",
        "Data type of the weights. auto chooses the fastest for this machine: float32 on a CPU if memory allows.",
        choice(get_args(Dtype)),
        default="auto",
        default_text="auto",
        metavar="|".join(get_args(Dtype)),
    ),
    _model(
        "quantize",
        "QUANTIZE",
        "Quantize the weights to this number of bits at load: 2, 3, 4, 5, 6 or 8.",
        one_of(2, 3, 4, 5, 6, 8, unit="bits"),
        metavar="BITS",
        example="4",
    ),
    _model(
        "memory_limit",
        "MEMORY_LIMIT",
        "Maximum memory that MLX uses for a model, e.g. 8GB or 512MiB.",
        size(1_000_000),
        default_text="MLX's own limit",
        metavar="SIZE",
        example="8GB",
    ),
    _model(
        "prefix_cache_size",
        "PREFIX_CACHE_SIZE",
        "Maximum size of the prefix cache, which keeps earlier prompts for the next turn; 0 turns it off.",
        size(0),
        default_text="an eighth of the memory that is free (or left of --memory-limit) once the weights are loaded",
        metavar="SIZE",
        example="1GB",
    ),
    _model(
        "prefix_cache_dir",
        "PREFIX_CACHE_DIR",
        "Folder in which the prefix cache of a language model survives eviction and restarts. Several servers may "
        "share it.",
        writable_folder,
        default_text="none (the prefix cache is only in memory)",
        metavar="DIR",
        example="~/.cache/mlx-prompts",
    ),
    _model(
        "prefix_cache_disk_size",
        "PREFIX_CACHE_DISK_SIZE",
        "Maximum total size of the files in `--prefix-cache-dir`; the oldest files are deleted first.",
        size(1_000_000),
        default=10_000_000_000,
        default_text="10GB",
        metavar="SIZE",
        example="50GB",
    ),
    _model(
        "mlx_warmup",
        "MLX_WARMUP",
        "Run the model once before the server reports it as ready. Without it, the first request is slow.",
        boolean,
        default=True,
        default_text="on",
        boolean=True,
    ),
    _model(
        "trust_remote_code",
        "TRUST_REMOTE_CODE",
        "Allow the model's tokenizer to run code from the model's own folder or repository.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
    ),
    _model(
        "lora_paths",
        "LORA_PATHS",
        "LoRA adapters to add to a language model's weights at load: folders in mlx-lm's or PEFT's format, separated "
        "by commas.",
        paths,
        metavar="PATHS",
        example="./adapters",
    ),
    _model(
        "lora_scales",
        "LORA_SCALES",
        "Factor for each LoRA adapter, multiplied with the adapter's own scale; one number per path.",
        factors,
        default_text="1 for each",
        metavar="NUMBERS",
        example="0.8",
    ),
    _model(
        "kv_bits",
        "KV_BITS",
        "Quantize a language model's key-value cache to 4 or 8 bits: less memory per token, slower on a CPU.",
        one_of(4, 8, unit="bits"),
        default_text="not quantized",
        metavar="4|8",
        example="8",
    ),
    _model(
        "kv_group_size",
        "KV_GROUP_SIZE",
        "Number of values that share one scale in a quantized key-value cache (`--kv-bits`).",
        one_of(32, 64, 128, unit="values"),
        default=64,
        default_text="64",
        metavar="32|64|128",
    ),
    _model(
        "max_kv_size",
        "MAX_KV_SIZE",
        "Maximum number of tokens in a language model's key-value cache; the oldest tokens are dropped.",
        integer(16),
        default_text="the whole context",
        metavar="TOKENS",
        example="4096",
    ),
    _model(
        "draft_model",
        "DRAFT_MODEL",
        "Smaller model with the same vocabulary for speculative decoding: it proposes tokens while a single request "
        "is running. The answer stays the same and arrives sooner.",
        text,
        default_text="none",
        metavar="PATH|ID",
        example="mlx-community/Qwen3-0.6B-4bit",
    ),
    _model(
        "num_draft_tokens",
        "NUM_DRAFT_TOKENS",
        "Number of tokens that the draft model proposes per step.",
        integer(1, 64),
        default=3,
        default_text="3",
        metavar="COUNT",
    ),
    _model(
        "prompt_lookup",
        "PROMPT_LOOKUP",
        "Speculative decoding without a draft model: propose up to this number of tokens per step from an earlier "
        "passage of the conversation that matches, while a single request is running. The answer stays the same; "
        "repeated text arrives sooner.",
        integer(1, 64),
        default_text="off",
        metavar="COUNT",
        example="8",
    ),
    _model("config_name", "CONFIG_NAME", "Image model configuration.", text, metavar="NAME", supported=False),
    _model(
        "enable_auto_tool_choice",
        "ENABLE_AUTO_TOOL_CHOICE",
        "Let the model decide when to call tools. It is always on; to serve without tools, use "
        "`--tool-call-parser none`.",
        always,
        default=True,
        default_text="on",
        boolean=True,
    ),
    _model(
        "tool_call_parser",
        "TOOL_CALL_PARSER",
        "Format of the model's tool calls: `auto` detects it, `none` serves without tools. docs/tools.md lists the "
        "others.",
        text,
        default="auto",
        default_text="auto",
        metavar="NAME",
    ),
    _model(
        "reasoning_parser",
        "REASONING_PARSER",
        "Format of the model's reasoning: `auto` detects it, `none` leaves the reasoning in the answer's text. "
        "docs/tools.md lists the others.",
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
        "Port to listen on; 0 chooses a free one.",
        integer(0, 65535),
        default=8000,
        default_text="8000",
        metavar="PORT",
    ),
    _server(
        "api_key",
        "API_KEY",
        "Key that requests must send (`Authorization: Bearer KEY`).",
        text,
        default_text="no key is required",
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
        "allowed_hosts",
        "ALLOWED_HOSTS",
        "Host names that requests may be for while the server listens on this machine only, separated by commas: those "
        "of a proxy in front of it. Loopback names and IP addresses are always allowed.",
        hosts,
        default=(),
        default_text="none",
        metavar="HOSTS",
        example="debate.example.org",
    ),
    _server(
        "max_body_size",
        "MAX_BODY_SIZE",
        "Maximum size of a request body, e.g. 32MB.",
        size(1),
        default=32_000_000,
        default_text="32MB",
        metavar="SIZE",
    ),
    _server(
        "max_upload",
        "MAX_UPLOAD",
        "Maximum size of an audio file to transcribe, e.g. 100MB. The default is OpenAI's own limit.",
        size(1),
        default=26_214_400,
        default_text="25MiB",
        metavar="SIZE",
    ),
    _server(
        "heartbeat_interval",
        "HEARTBEAT_INTERVAL",
        "Seconds without output in a stream after which the server sends a keep-alive comment.",
        seconds(),
        default=15.0,
        default_text="15",
        metavar="SECONDS",
    ),
    _server(
        "grace_period",
        "GRACE_PERIOD",
        "Seconds that running requests have to finish after SIGTERM.",
        seconds(zero=True),
        default=10.0,
        default_text="10",
        metavar="SECONDS",
    ),
    _server(
        "response_store",
        "RESPONSE_STORE",
        "SQLite file in which /v1/responses stores responses, so that clients can fetch or continue them.",
        database,
        default=":memory:",
        default_text=":memory:",
        metavar="FILE",
        example="responses.db",
    ),
    _server(
        "response_store_ttl",
        "RESPONSE_STORE_TTL",
        "Seconds that a stored response is kept after its last use.",
        seconds(),
        default=86_400.0,
        default_text="86400",
        metavar="SECONDS",
    ),
    _server(
        "response_store_size",
        "RESPONSE_STORE_SIZE",
        "Maximum total size of all stored responses; those unused for longest are deleted first.",
        size(1_000),
        default=256_000_000,
        default_text="256MB",
        metavar="SIZE",
    ),
    CONFIG,
    _model(
        "max_concurrency",
        "MAX_CONCURRENCY",
        "Maximum number of requests that a model processes at the same time.",
        integer(1, 4096),
        default_text=_CONCURRENCY,
        metavar="COUNT",
        group="Queue",
        example="8",
    ),
    _model(
        "queue_size",
        "QUEUE_SIZE",
        "Maximum number of requests that wait for a model; further requests are refused with status 429.",
        integer(0),
        default=100,
        default_text="100",
        metavar="COUNT",
        group="Queue",
    ),
    _model(
        "queue_timeout",
        "QUEUE_TIMEOUT",
        "Maximum time in seconds that a request waits; after that it is refused with status 503.",
        seconds(),
        default=300.0,
        default_text="300",
        metavar="SECONDS",
        group="Queue",
    ),
    _server(
        "log_level",
        "LOG_LEVEL",
        "Lowest severity of the messages to log.",
        choice(("debug", "info", "warning", "error")),
        default="info",
        default_text="info",
        metavar="debug|info|warning|error",
        group="Logging",
    ),
    _server(
        "log_format",
        "LOG_FORMAT",
        "Format of the log: console for people, json for log collectors.",
        choice(("console", "json")),
        default="console",
        default_text="console",
        metavar="console|json",
        group="Logging",
    ),
    _server(
        "log_bodies",
        "LOG_BODIES",
        "Log the bodies of requests and responses, including prompts and answers. Each is cut at 64 kB; secrets are "
        "masked.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
        group="Logging",
    ),
    _server(
        "trace_content",
        "TRACE_CONTENT",
        "Record the prompts and answers of chats, completions and responses in traces, as OpenTelemetry's GenAI "
        "conventions define it. The content of embeddings, speech and transcription is not recorded: the conventions "
        "have no attributes for it.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
        group="Logging",
    ),
)

OPTIONS_BY_NAME = {option.name: option for option in OPTIONS}
