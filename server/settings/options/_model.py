"""The options of one model: its weights, its prompts, its caches and its queue. The file is as long as the table."""

from __future__ import annotations

from typing import get_args

from providers.capabilities import MODALITIES
from providers.image.models import CONFIG_NAMES, IMAGE_MODELS
from providers.spec import DecodeStep, Dtype
from server.settings.migration.parser_names import REASONING_PARSERS, TOOL_CALL_PARSERS
from server.settings.options._option import Option, model_option
from server.settings.parsers import (
    always,
    boolean,
    choice,
    factors,
    integer,
    names,
    number,
    one_of,
    parser_name,
    paths,
    seconds,
    size,
    template_args,
    text,
)
from server.settings.path_parsers import lexicon, template, writable_folder

__all__ = ["MODEL_OPTIONS", "QUEUE_OPTIONS"]

_CONCURRENCY = ", ".join(f"{row.max_concurrency} for {name}" for name, row in MODALITIES.items())
_WHAT_TYPES_DO = ", ".join(f"{name} {row.does}" for name, row in MODALITIES.items())

MODEL_OPTIONS: tuple[Option, ...] = (
    model_option(
        "model_path",
        "MODEL_PATH",
        "Model to serve: a Hugging Face id, a local folder or a .gguf file.",
        text,
        default_text="the embedded model of --model-type, or of every type: small models from the package index",
        metavar="PATH|ID",
        example="mlx-community/Qwen3-4B-Instruct-2507-4bit",
    ),
    model_option(
        "model_type",
        "MODEL_TYPE",
        f"What the model does: {_WHAT_TYPES_DO}.",
        choice(MODALITIES),
        default="lm",
        default_text="lm",
        metavar="|".join(MODALITIES),
    ),
    model_option(
        "served_model_name",
        "SERVED_MODEL_NAME",
        "Model name that clients send in requests.",
        text,
        default_text="the Hugging Face id, or the name of the folder or file",
        metavar="NAME",
        example="qwen",
    ),
    model_option(
        "aliases",
        "MODEL_ALIASES",
        "Further names that clients may send for the model, separated by commas.",
        names,
        default=(),
        default_text="none",
        metavar="NAMES",
        example="gpt-4o,gpt-4o-mini",
    ),
    model_option(
        "context_length",
        "CONTEXT_LENGTH",
        "Maximum number of tokens in prompt and answer together; never above the model's own limit.",
        integer(1),
        default=32768,
        default_text="32768",
        metavar="TOKENS",
    ),
    model_option(
        "dtype",
        "DTYPE",
        "Data type of the weights. auto chooses the fastest for this machine: float32 on a CPU if memory allows.",
        choice(get_args(Dtype)),
        default="auto",
        default_text="auto",
        metavar="|".join(get_args(Dtype)),
    ),
    model_option(
        "quantize",
        "QUANTIZE",
        "Quantize the weights to this number of bits at load: 2, 3, 4, 5, 6 or 8.",
        one_of(2, 3, 4, 5, 6, 8, unit="bits"),
        metavar="BITS",
        example="4",
    ),
    model_option(
        "prefix_cache_size",
        "PREFIX_CACHE_SIZE",
        "Maximum size of the prefix cache, which keeps earlier prompts for the next turn; 0 turns it off.",
        size(0),
        default_text="an eighth of the memory that is free (or left of --max-memory) once the weights are loaded",
        metavar="SIZE",
        example="1GB",
    ),
    model_option(
        "prefix_cache_dir",
        "PREFIX_CACHE_DIR",
        "Folder in which the prefix cache of a language model survives eviction and restarts. Several servers may "
        "share it.",
        writable_folder,
        default_text="none (the prefix cache is only in memory)",
        metavar="DIR",
        example="~/.cache/mlx-prompts",
    ),
    model_option(
        "prefix_cache_disk_size",
        "PREFIX_CACHE_DISK_SIZE",
        "Maximum total size of the files in `--prefix-cache-dir`; the oldest files are deleted first.",
        size(1_000_000),
        default=10_000_000_000,
        default_text="10GB",
        metavar="SIZE",
        example="50GB",
    ),
    model_option(
        "mlx_warmup",
        "MLX_WARMUP",
        "Run the model once before the server reports it as ready. Without it, the first request is slow.",
        boolean,
        default=True,
        default_text="on",
        boolean=True,
    ),
    model_option(
        "trust_remote_code",
        "TRUST_REMOTE_CODE",
        "Allow the model's tokenizer to run code from the model's own folder or repository.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
    ),
    model_option(
        "lora_paths",
        "LORA_PATHS",
        "LoRA adapters to add to the weights of a language or image model at load, separated by commas: folders in "
        "mlx-lm's or PEFT's format; for image models .safetensors files or folders with one.",
        paths,
        metavar="PATHS",
        example="./adapters",
    ),
    model_option(
        "lora_scales",
        "LORA_SCALES",
        "Factor for each LoRA adapter, multiplied with the adapter's own scale; one number per path.",
        factors,
        default_text="1 for each",
        metavar="NUMBERS",
        example="0.8",
    ),
    model_option(
        "kv_bits",
        "KV_BITS",
        "Quantize a language model's key-value cache to 4 or 8 bits: less memory per token, slower on a CPU.",
        one_of(4, 8, unit="bits"),
        default_text="not quantized",
        metavar="4|8",
        example="8",
    ),
    model_option(
        "kv_group_size",
        "KV_GROUP_SIZE",
        "Number of values that share one scale in a quantized key-value cache (`--kv-bits`).",
        one_of(32, 64, 128, unit="values"),
        default=64,
        default_text="64",
        metavar="32|64|128",
    ),
    model_option(
        "max_kv_size",
        "MAX_KV_SIZE",
        "Maximum number of tokens in a language model's key-value cache; the oldest tokens are dropped.",
        integer(16),
        default_text="the whole context",
        metavar="TOKENS",
        example="4096",
    ),
    model_option(
        "decode_step",
        "DECODE_STEP",
        "How a language model computes the next tokens: mlx-lm as mlx-lm does; own with fused projections and "
        "attention without padding. auto is own on CUDA, mlx-lm elsewhere.",
        choice(get_args(DecodeStep)),
        default="auto",
        default_text="auto",
        metavar="|".join(get_args(DecodeStep)),
    ),
    model_option(
        "prefill_step_size",
        "PREFILL_STEP_SIZE",
        "Maximum number of tokens of a prompt that a language model computes in one step. Steps are shorter while "
        "other answers are being generated.",
        integer(16, 65536),
        default_text="256 on a CPU, 2048 on a GPU",
        metavar="TOKENS",
        example="512",
    ),
    model_option(
        "draft_model",
        "DRAFT_MODEL",
        "Smaller model with the same vocabulary for speculative decoding: it proposes tokens. While several requests "
        "are running, only as far as that makes them faster, by measurement. The answer stays the same and arrives "
        "sooner.",
        text,
        default_text="none",
        metavar="PATH|ID",
        example="mlx-community/Qwen3-0.6B-4bit",
    ),
    model_option(
        "num_draft_tokens",
        "NUM_DRAFT_TOKENS",
        "Number of tokens that the draft model proposes per step.",
        integer(1, 64),
        default=3,
        default_text="3",
        metavar="COUNT",
    ),
    model_option(
        "prompt_lookup",
        "PROMPT_LOOKUP",
        "Speculative decoding without a draft model: propose up to this number of tokens per step from an earlier "
        "passage of the conversation that matches. While several requests are running, only as far as that makes "
        "them faster, by measurement. The answer stays the same; repeated text arrives sooner.",
        integer(1, 64),
        default_text="off",
        metavar="COUNT",
        example="8",
    ),
    model_option(
        "chat_template_file",
        "CHAT_TEMPLATE_FILE",
        "Jinja file with a chat template, or the template itself, instead of a language model's own.",
        template,
        default_text="the model's own",
        metavar="FILE",
        example="template.jinja",
    ),
    model_option(
        "chat_template_args",
        "CHAT_TEMPLATE_ARGS",
        'Variables for the chat template as a JSON object, such as `{"enable_thinking": false}`. The '
        "`chat_template_kwargs` of a request override them.",
        template_args,
        default_text="none",
        metavar="JSON",
        example='{"enable_thinking": false}',
    ),
    model_option(
        "lexicon",
        "LEXICON",
        "YAML or JSON file with phonemes by word, or the JSON object itself, for the models that speak: `Siobhan: "
        "ʃəvˈɔn`. The `lexicon` of a request overrides it.",
        lexicon,
        default_text="none",
        metavar="FILE",
        example='{"Siobhan": "ʃəvˈɔn"}',
    ),
    model_option(
        "config_name",
        "CONFIG_NAME",
        "Which image model the weights are: " + ", ".join(IMAGE_MODELS) + ". docs/images.md lists further names.",
        choice(IMAGE_MODELS, synonyms=CONFIG_NAMES),
        default_text="as the last part of --model-path says",
        metavar="NAME",
        example="flux2-klein-4b",
    ),
    model_option(
        "image_steps",
        "IMAGE_STEPS",
        "Denoising steps per image, for requests that set no number.",
        integer(1, 200),
        default_text="the image model's own, from 4 to 50",
        metavar="COUNT",
        example="8",
    ),
    model_option(
        "image_guidance",
        "IMAGE_GUIDANCE",
        "How closely images follow their text, for requests that set no guidance. Some image models have none.",
        number(0.0, 100.0),
        default_text="the image model's own",
        metavar="NUMBER",
        example="3.5",
    ),
    model_option(
        "enable_auto_tool_choice",
        "ENABLE_AUTO_TOOL_CHOICE",
        "Let the model decide when to call tools. It is always on; to serve without tools, use "
        "`--tool-call-parser none`.",
        always,
        default=True,
        default_text="on",
        boolean=True,
    ),
    model_option(
        "tool_call_parser",
        "TOOL_CALL_PARSER",
        "Format of the model's tool calls: `auto` detects it, `none` serves without tools. docs/tools.md lists the "
        "others.",
        parser_name(TOOL_CALL_PARSERS),
        default="auto",
        default_text="auto",
        metavar="NAME",
    ),
    model_option(
        "reasoning_parser",
        "REASONING_PARSER",
        "Format of the model's reasoning: `auto` detects it, `none` leaves the reasoning in the answer's text. "
        "docs/tools.md lists the others.",
        parser_name(REASONING_PARSERS),
        default="auto",
        default_text="auto",
        metavar="NAME",
    ),
)

QUEUE_OPTIONS: tuple[Option, ...] = (
    model_option(
        "max_concurrency",
        "MAX_CONCURRENCY",
        "Maximum number of requests that a model processes at the same time; of --replicas each.",
        integer(1, 4096),
        default_text=_CONCURRENCY,
        metavar="COUNT",
        group="Queue",
        example="8",
    ),
    model_option(
        "queue_size",
        "QUEUE_SIZE",
        "Maximum number of requests that wait for a model; further requests are refused with status 429.",
        integer(0),
        default=100,
        default_text="100",
        metavar="COUNT",
        group="Queue",
    ),
    model_option(
        "queue_timeout",
        "QUEUE_TIMEOUT",
        "Maximum time in seconds that a request waits; after that it is refused with status 503.",
        seconds(),
        default=300.0,
        default_text="300",
        metavar="SECONDS",
        group="Queue",
    ),
    model_option(
        "watchdog_timeout",
        "WATCHDOG_TIMEOUT",
        "Seconds without progress after which the process of a model that has work is killed and restarted; 0 never "
        "kills it. Every chunk of a prompt is progress, and loading may take ten times as long. docs/reliability.md "
        "says more.",
        seconds(zero=True),
        default=120.0,
        default_text="120",
        metavar="SECONDS",
        group="Queue",
    ),
    model_option(
        "grammar_timeout",
        "GRAMMAR_TIMEOUT",
        "Maximum time in seconds that the JSON schemas and grammars of a request may take to compile; beyond it, the "
        "request is refused with status 400. Other requests do not wait meanwhile. 0 sets no limit.",
        seconds(zero=True),
        default=10.0,
        default_text="10",
        metavar="SECONDS",
        group="Queue",
    ),
)
