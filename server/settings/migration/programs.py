"""Other servers, and what each of their options is here; `server.settings.migration.page` makes a page of it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

__all__ = ["PROGRAMS", "Program", "Row"]

Row = str | tuple[str, str]
"""A flag, or a flag and a remark; or anything else that is set there, and what it is here."""


@attrs.frozen(kw_only=True)
class Program:
    """A server whose users come here."""

    name: str
    text: str
    rows: Sequence[Row]
    keys: Sequence[str] = ()
    """Keys of its YAML file that are not named as its flags are."""
    keys_text: str = (
        "Keys of its YAML file with other names than its options; all other keys are the options' names with "
        "underscores."
    )


_MLX_OPENAI_SERVER = Program(
    name="mlx-openai-server",
    text="""\
The command has the same name and the same form: `mlx-openai-server launch --model-path …`. Its options, and the keys
of its YAML file (`models:` and `server:`), work as they stand. What differs without any option: the server listens on
localhost, not on every address; the context is at most 32768 tokens; no log file is written; 8 requests run at the same
time, not 32; a local model is named after its folder, not its whole path.
""",
    rows=(
        "--config",
        "--model-path",
        "--model-type",
        "--context-length",
        "--served-model-name",
        "--port",
        ("--host", "the default is localhost, on IPv4 and IPv6"),
        "--queue-timeout",
        "--queue-size",
        ("--max-concurrency", "of earlier versions"),
        ("--mlx-warmup", "of earlier versions"),
        ("--quantize", "of language models too"),
        "--config-name",
        "--lora-paths",
        "--lora-scales",
        "--disable-auto-resize",
        ("--log-file", "the default is none"),
        "--no-log-file",
        ("--log-level", "in upper or lower case; `CRITICAL` counts as `error`"),
        "--enable-auto-tool-choice",
        ("--tool-call-parser", "other names: below"),
        ("--reasoning-parser", "other names: below"),
        "--trust-remote-code",
        "--chat-template-file",
        "--debug",
        "--prompt-cache-size",
        "--max-bytes",
        "--prompt-cache-dir",
        "--draft-model-path",
        ("--num-draft-tokens", "only with a draft model; the default is 3"),
        "--kv-bits",
        ("--kv-group-size", "only with `--kv-bits`"),
        "--quantized-kv-start",
        "--decode-concurrency",
        "--prompt-concurrency",
        "--prefill-step-size",
        "--disable-batching",
        "--max-tokens",
        "--temperature",
        "--top-p",
        "--top-k",
        "--min-p",
        "--repetition-penalty",
        "--presence-penalty",
        "--xtc-probability",
        "--xtc-threshold",
        ("--seed", "0 is a seed; there, it is none"),
        "--repetition-context-size",
    ),
    keys=(
        "on_demand",
        "on_demand_idle_timeout",
        "message_converter",
        "prompt_cache_max_bytes",
        "batch_completion_size",
        "batch_prefill_size",
        "batch_prefill_step_size",
        "default_max_tokens",
        "default_temperature",
        "default_top_p",
        "default_top_k",
        "default_min_p",
        "default_repetition_penalty",
        "default_presence_penalty",
        "default_xtc_probability",
        "default_xtc_threshold",
        "default_seed",
        "default_repetition_context_size",
    ),
)

_MLX_LM = Program(
    name="mlx_lm.server",
    text="""\
Write `mlx-openai-server launch` instead of `mlx_lm.server`. What differs without any option: the port is 8000, not
8080; the temperature is that of the model's generation_config, not 0 (`--temp 0`); an answer may take the rest of the
context, not 512 tokens (`--max-tokens 512`).
""",
    rows=(
        "--model",
        "--adapter-path",
        "--host",
        ("--port", "the default is 8000"),
        "--allowed-origins",
        "--draft-model",
        ("--num-draft-tokens", "only with a draft model"),
        "--trust-remote-code",
        ("--log-level", "in upper or lower case; `CRITICAL` counts as `error`"),
        ("--chat-template", "a file or the template itself"),
        "--use-default-chat-template",
        "--temp",
        "--top-p",
        "--top-k",
        "--min-p",
        "--max-tokens",
        "--chat-template-args",
        "--decode-concurrency",
        "--prompt-concurrency",
        "--prefill-step-size",
        "--prompt-cache-size",
        "--prompt-cache-bytes",
        "--kv-bits",
        ("--kv-group-size", "only with `--kv-bits`"),
        "--quantized-kv-start",
        ("--pipeline", "with the number of processes, which `mlx.launch` sets there; without it, one process"),
    ),
)

_DEFAULTS: tuple[Row, ...] = (
    "--max-tokens",
    "--default-temperature",
    "--default-top-p",
)
_BATCHING: tuple[Row, ...] = (
    "--continuous-batching",
    "--max-num-seqs",
    "--stream-interval",
    "--cache-memory-mb",
    "--cache-memory-percent",
    "--no-memory-aware-cache",
    "--use-paged-cache",
    "--paged-cache-block-size",
    "--max-cache-blocks",
)
_COMMON: tuple[Row, ...] = (
    "--served-model-name",
    "--port",
    "--host",
    "--api-key",
    "--timeout",
    "--rate-limit",
    "--mcp-config",
    "--embedding-model",
    "--enable-auto-tool-choice",
    ("--tool-call-parser", "other names: below"),
    ("--reasoning-parser", "other names: below"),
)

_VLLM_MLX = Program(
    name="vllm-mlx",
    text="Write `mlx-openai-server launch --model-path MODEL` instead of `vllm-mlx serve MODEL`.\n",
    rows=(
        *_COMMON,
        *_DEFAULTS,
        *_BATCHING,
        "--enable-metrics",
        "--max-model-len",
        "--models-config",
        ("--memory-budget-gb", "of everything that models hold, not of weights only"),
        "--auto-unload-idle-seconds",
    ),
    keys=("memory_budget_gb", "idle_unload_seconds", "estimated_memory_gb"),
    keys_text=(
        "Of the file of `--models-config`, `name`, `path` and `preload` are keys here too. The keys of its `manager` "
        "belong at the top of the file; models in use are never unloaded, as with the policy `wait_then_fail`."
    ),
)

_RAPID_MLX = Program(
    name="Rapid-MLX",
    text="""\
Write `mlx-openai-server launch --model-path MODEL` instead of `rapid-mlx serve MODEL`; MODEL is a Hugging Face id or a
folder, not one of its short names.
""",
    rows=(
        *_COMMON,
        ("--cors-origins", "separated by commas"),
        "--trusted-hosts",
        "--max-request-bytes",
        ("--log-level", "in upper or lower case"),
        *_DEFAULTS,
        "--default-top-k",
        "--default-min-p",
        "--default-repetition-penalty",
        "--default-presence-penalty",
        "--default-frequency-penalty",
        *_BATCHING,
        "--completion-batch-size",
        "--prefill-batch-size",
        "--prefill-step-size",
        "--gpu-memory-utilization",
        "--enable-prefix-cache",
        "--disable-prefix-cache",
        ("--prefix-cache-size", "a size in bytes; there, a number of prompts"),
        "--kv-cache-dtype",
        "--kv-cache-quantization-bits",
        "--kv-cache-quantization-group-size",
        "--lazy-load",
        "--no-tool-call-parser",
        "--no-reasoning-parser",
        "--no-thinking",
        ("--max-concurrent-requests", "`--queue-size` limits the requests that wait"),
        ("--speculative-config", "`--draft-model`, or `--prompt-lookup` for `suffix`"),
        "--idle-unload-seconds",
        ("--pflash", "nothing: prompts are never shortened"),
        ("RAPID_MLX_API_KEY", "`API_KEY`"),
    ),
)

_OMLX = Program(
    name="oMLX",
    text="""\
oMLX finds models in a folder and is configured in its dashboard; here each model is a `--model` or an entry of `models`
in the file of `--config`.
""",
    rows=(
        ("--model-dir", "`--model` for each model, or entries of `models`"),
        "--max-model-memory",
        ("--max-process-memory", "`--memory-limit`, which takes a size and no share"),
        ("--pin", "`pin: true` in the entries; here, the option pins all models"),
        ("--hot-cache-max-size", "`--prefix-cache-size` of each model"),
        ("--paged-ssd-cache-dir", "`--prefix-cache-dir`"),
        ("--paged-ssd-cache-max-size", "`--prefix-cache-disk-size`"),
        "--mcp-config",
    ),
    keys=("ttl_seconds", "is_pinned", "model_alias"),
    keys_text="Settings of one model, which are keys of an entry here.",
)

_LM_STUDIO = Program(
    name="LM Studio",
    text="""\
LM Studio starts its server and loads models in separate steps; here one command does both:
`mlx-openai-server launch --model-path MODEL --port 1234`.
""",
    rows=(
        ("lms server start --port", "`--port`; the default is 8000, not 1234"),
        ("lms server start --bind", "`--host`"),
        ("lms server start --cors", "`--cors-origins`, which allows every origin unless it is set"),
        ("lms server stop", "Ctrl-C or SIGTERM"),
        ("lms server status", "`GET /health`"),
        ("lms load MODEL", "`--model-path MODEL`, or an entry of `models` in the file of `--config`"),
        ("lms load --context-length", "`--context-length`"),
        ("lms load --identifier", "`--served-model-name`"),
        ("lms load --parallel", "`--max-concurrency`"),
        ("lms load --ttl", "`--ttl`"),
        ("lms load --gpu", "nothing: MLX uses the GPU"),
        ("lms get MODEL", "`mlx-openai-server models pull MODEL`"),
        ("lms ls, lms ps", "`mlx-openai-server models list`, `GET /v1/models`"),
        ("lms log stream", "`--log-bodies`"),
        ("Just in time model loading", "`--on-demand`"),
        ("Require authentication", "`--api-key`"),
    ),
)

_OLLAMA = Program(
    name="Ollama",
    text="""\
Ollama is configured by its environment; variables here have other names. Its variables have no effect: clients read
`OLLAMA_HOST` too, with another meaning. Clients use `/v1`; Ollama's own `/api` is not served.
""",
    rows=(
        ("OLLAMA_HOST", "`SERVER_HOST` and `SERVER_PORT`; the default is localhost and 8000, not 11434"),
        ("OLLAMA_ORIGINS", "`CORS_ORIGINS`"),
        ("OLLAMA_CONTEXT_LENGTH", "`CONTEXT_LENGTH`"),
        ("OLLAMA_NUM_PARALLEL", "`MAX_CONCURRENCY`"),
        ("OLLAMA_MAX_QUEUE", "`QUEUE_SIZE`"),
        (
            "OLLAMA_KEEP_ALIVE",
            "`MODEL_TTL`, where `0` is never and not after each request; `ON_DEMAND=true` loads a model on first use",
        ),
        ("OLLAMA_MAX_LOADED_MODELS", "`MEMORY_LIMIT`: as many models are loaded as fit"),
        ("OLLAMA_MODELS", "`HF_HOME`: models come from Hugging Face"),
        ("OLLAMA_KV_CACHE_TYPE", "`KV_BITS`: 8 for `q8_0`, 4 for `q4_0`"),
        ("OLLAMA_FLASH_ATTENTION", "nothing: MLX's own attention is used"),
        ("OLLAMA_DEBUG=1", "`LOG_LEVEL=debug`"),
        (
            "OLLAMA_LOAD_TIMEOUT",
            "nothing: loading has no limit; requests wait for it up to `QUEUE_TIMEOUT`",
        ),
        ("ollama show, rm", "`mlx-openai-server models info`, `models rm`"),
        ("ollama pull, list, run", "`mlx-openai-server models pull`, `models list`, `chat`"),
        ("Modelfile: FROM", "`--model-path`"),
        (
            "Modelfile: PARAMETER temperature, …",
            "`--temperature`, …; `num_predict` is `--max-tokens`",
        ),
        ("Modelfile: TEMPLATE", "`--chat-template-file`, in Jinja"),
        ("Modelfile: ADAPTER", "`--lora-paths`"),
        ("Modelfile: SYSTEM", "nothing: the client sends the system message"),
    ),
)

_LLAMA_SWAP = Program(
    name="llama-swap",
    text="""\
llama-swap starts one server per model from the `cmd` of its file; here the models are entries of `models` in the file
of `--config`. The options of `cmd` become keys of the entry.
""",
    rows=(
        ("models: ID: cmd", "`model_path`, and other options under their names"),
        ("models: ID: name", "nothing: the id is the name"),
        ("aliases", "the same"),
        ("ttl", "the same; `10m` and `1h` work too"),
        ("globalTTL", "`ttl` at the top of the file"),
        ("hooks: on_startup: preload", "`preload: false` in the entries of the other models"),
        ("groups: swap", "nothing: models are unloaded where `memory_limit` requires it"),
        ("groups: persistent", "`pin: true`"),
        ("healthCheckTimeout", "nothing: loading has no limit; requests wait for it up to `queue_timeout`"),
        ("startPort", "nothing: models take no ports"),
    ),
    keys=("id", "name", "path", "type", "preload", "keep_alive"),
    keys_text="Short names of keys, some of which other servers' files have too.",
)

PROGRAMS: tuple[Program, ...] = (
    _MLX_OPENAI_SERVER,
    _MLX_LM,
    _VLLM_MLX,
    _RAPID_MLX,
    _OMLX,
    _LLAMA_SWAP,
    _LM_STUDIO,
    _OLLAMA,
)
