"""Names that other servers have for settings of this one, as flags and as keys of the YAML file.

An alias takes the value of one of our options, or is accepted without effect because nothing is lost, or is refused
with its replacement. An alias whose option is set under its own name in the same source has no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from server.settings.options import OPTIONS_BY_NAME

__all__ = ["ALIASES", "Alias"]


@attrs.frozen(kw_only=True)
class Alias:
    """A name of another server. Values that neither `to` nor `values` cover have no effect, because of `note`."""

    name: str
    """With underscores, as in the file. The flag has dashes."""
    to: str = ""
    """Name of our option; empty: it has no counterpart."""
    values: Mapping[str, str] | None = None
    """Given values that have a counterpart, in lower case, and what they set `to` to; empty: the default, nothing is
    set. None: `to` takes every value as it is. The values of a switch are `true` and `false`."""
    translate: Callable[[str], str] | None = None
    """What `to` gets for a value, where the value has another meaning there."""
    unit: str = ""
    """Appended to the value."""
    note: str = ""
    """Why nothing is lost without it; what replaces it."""
    refused: str = ""
    """What to use instead, where an answer would differ without it."""
    switch: bool = False
    """It needs no value."""
    in_file: bool = True
    """Also a key of the file."""
    as_flag: bool = True
    repeatable: bool = False
    """The flag may be given several times."""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    def counterpart(self, value: str) -> str | None:
        """What `to` gets for this value; empty: nothing; None: the value has no effect."""
        if self.values is not None:
            return self.values.get(value.strip().lower())
        if self.translate is not None:
            return self.translate(value)
        return f"{value}{self.unit}" if self.to else None


def _keep_alive(value: str) -> str:
    """Ollama's time to keep a model: a negative one is without end, and 0 unloads it after each request."""
    value = value.strip()
    return "0" if value.startswith("-") else "0.001" if value in {"0", "0s", "0m", "0h"} else value


def _alias(name: str, to: str, **rest: object) -> Alias:
    return Alias(name=name, to=to, **rest)  # type: ignore[arg-type]


def _switch(name: str, to: str, value: str, **rest: object) -> Alias:
    return Alias(name=name, to=to, values={"true": value, "false": ""}, switch=True, **rest)  # type: ignore[arg-type]


def _noted(name: str, note: str, *, default: str | None = None, **rest: object) -> Alias:
    """`default`: the value that asks for what happens in any case."""
    values = None if default is None else {default: ""}
    return Alias(name=name, note=note, values=values, **rest)  # type: ignore[arg-type]


def _noted_switch(name: str, note: str, **rest: object) -> Alias:
    return Alias(name=name, note=note, values={"false": ""}, switch=True, **rest)  # type: ignore[arg-type]


def _refused(name: str, instead: str, *, default: str | None = None, **rest: object) -> Alias:
    values = None if default is None else {default: ""}
    return Alias(name=name, refused=instead, values=values, **rest)  # type: ignore[arg-type]


_BATCHED = "prompts and answers share one batch; --max-concurrency limits it, --prefill-step-size a prompt's part of it"
_COUNTS = "the prefix cache is limited by its size in bytes, not by a number of prompts: --prefix-cache-size"
_PAGED = "the prefix cache keeps whole prompts, in memory up to --prefix-cache-size"

_FROM_MLX_OPENAI_SERVER = (
    _noted_switch("disable_auto_resize", "pictures are scaled to what a model reads (`--max-picture-side`)"),
    _switch("no_log_file", "log_file", "none"),
    _switch("debug", "log_level", "debug"),
    _alias("prompt_cache_size", "prefix_cache_size", values={"0": "0"}, note=_COUNTS),
    _alias("max_bytes", "prefix_cache_size", in_file=False),
    _alias("prompt_cache_max_bytes", "prefix_cache_size", as_flag=False),
    _alias("prompt_cache_dir", "prefix_cache_dir"),
    _alias("draft_model_path", "draft_model"),
    _noted("quantized_kv_start", "--kv-bits quantizes the cache from the first token on", default="0"),
    _alias("decode_concurrency", "max_concurrency"),
    _alias("batch_completion_size", "max_concurrency", as_flag=False),
    _noted("prompt_concurrency", _BATCHED),
    _noted("batch_prefill_size", _BATCHED, as_flag=False),
    _alias("batch_prefill_step_size", "prefill_step_size", as_flag=False),
    _switch("disable_batching", "max_concurrency", "1"),
    _noted("message_converter", "the chat template shows which messages it takes", as_flag=False),
    _alias("on_demand_idle_timeout", "ttl", as_flag=False),
    _alias("default_max_tokens", "max_tokens", as_flag=False),
    _alias("default_temperature", "temperature"),
    _alias("default_top_p", "top_p"),
    _alias("default_top_k", "top_k"),
    _alias("default_min_p", "min_p"),
    _alias("default_repetition_penalty", "repetition_penalty"),
    _alias("default_repetition_context_size", "repetition_context_size"),
    _alias("default_presence_penalty", "presence_penalty"),
    _alias("default_frequency_penalty", "frequency_penalty"),
    _alias("default_xtc_probability", "xtc_probability"),
    _alias("default_xtc_threshold", "xtc_threshold"),
    _alias("default_seed", "seed", as_flag=False),
)
_FROM_MLX_LM = (
    _alias("model", "model_path", in_file=False, repeatable=True),
    _alias("adapter_path", "lora_paths", in_file=False),
    _alias("allowed_origins", "cors_origins", in_file=False),
    _alias("chat_template", "chat_template_file", in_file=False),
    _noted_switch("use_default_chat_template", "a model without a template gets a plain one", in_file=False),
    _alias("temp", "temperature", in_file=False),
    _alias("prompt_cache_bytes", "prefix_cache_size", in_file=False),
)
_FROM_VLLM_MLX_AND_RAPID_MLX = (
    _alias("max_model_len", "context_length", in_file=False),
    _alias("max_num_seqs", "max_concurrency", in_file=False),
    _alias("completion_batch_size", "max_concurrency", in_file=False),
    _noted("prefill_batch_size", _BATCHED, in_file=False),
    _noted_switch("continuous_batching", "it is always on; --max-concurrency limits the batch", in_file=False),
    _noted_switch("use_paged_cache", _PAGED, in_file=False),
    _noted("paged_cache_block_size", _PAGED, in_file=False),
    _noted("max_cache_blocks", _PAGED, in_file=False),
    _alias("cache_memory_mb", "prefix_cache_size", unit="MiB", in_file=False),
    _noted("cache_memory_percent", "--prefix-cache-size takes a size", in_file=False),
    _noted_switch("no_memory_aware_cache", "the prefix cache is always limited by its size", in_file=False),
    _noted_switch("enable_prefix_cache", "it is always on; --prefix-cache-size 0 turns it off", in_file=False),
    _switch("disable_prefix_cache", "prefix_cache_size", "0", in_file=False),
    _noted("gpu_memory_utilization", "--memory-limit takes a size", in_file=False),
    _noted("stream_interval", "every step's text is sent when it is there", default="1", in_file=False),
    _noted_switch("enable_metrics", "/metrics is always there", in_file=False),
    _alias("trusted_hosts", "allowed_hosts", in_file=False),
    _alias("max_request_bytes", "max_body_size", in_file=False),
    _switch("lazy_load", "on_demand", "true", in_file=False),
    _alias("kv_cache_quantization_bits", "kv_bits", in_file=False),
    _alias("kv_cache_quantization_group_size", "kv_group_size", in_file=False),
    _alias("kv_cache_dtype", "kv_bits", values={"bf16": "", "int8": "8", "int4": "4"}, in_file=False),
    _switch("no_tool_call_parser", "tool_call_parser", "none", in_file=False),
    _switch("no_reasoning_parser", "reasoning_parser", "none", in_file=False),
    _switch("no_thinking", "reasoning_parser", "none", in_file=False),
    _refused(
        "timeout",
        "a request may have a `timeout` of its own; --queue-timeout limits the time that it waits",
        in_file=False,
    ),
    _refused("mcp_config", "clients call tools; the server calls none", in_file=False),
    _refused("embedding_model", "list it under `models` in the file of --config", in_file=False),
)

_FROM_SERVERS_OF_SEVERAL_MODELS = (
    _alias("id", "served_model_name", as_flag=False),
    _alias("name", "served_model_name", as_flag=False),
    _alias("path", "model_path", as_flag=False),
    _alias("type", "model_type", as_flag=False),
    Alias(name="preload", to="on_demand", values={"true": "false", "false": "true"}, switch=True, as_flag=False),
    Alias(name="keep_alive", to="ttl", translate=_keep_alive, note="-1 is never, and 0 unloads it after each request"),
    _alias("idle_unload_seconds", "ttl"),
    _alias("auto_unload_idle_seconds", "ttl", in_file=False),
    _alias("ttl_seconds", "ttl", as_flag=False),
    _alias("is_pinned", "pin", as_flag=False),
    _alias("model_alias", "aliases", as_flag=False),
    _alias("max_model_memory", "memory_limit", in_file=False),
    _alias("memory_budget_gb", "memory_limit", unit="GB"),
    _noted("estimated_memory_gb", "a model's need is read from its files", as_flag=False),
    _refused("models_config", "move its `models` into the file of --config", in_file=False),
)
"""Keys of an entry of `models`; and those of Ollama, oMLX, Rapid-MLX and vllm-mlx for memory and unloading."""

ALIASES: Mapping[str, Alias] = {
    alias.name: alias
    for alias in (
        *_FROM_MLX_OPENAI_SERVER,
        *_FROM_MLX_LM,
        *_FROM_VLLM_MLX_AND_RAPID_MLX,
        *_FROM_SERVERS_OF_SEVERAL_MODELS,
    )
}

assert ALIASES.keys().isdisjoint(OPTIONS_BY_NAME)
