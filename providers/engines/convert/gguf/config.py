"""`config.json` and `generation_config.json` from a GGUF file's metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from providers.engines.convert.gguf.errors import GGUFError

__all__ = ["FAMILIES", "end_tokens", "generation_config", "head_counts", "model_config"]

FAMILIES = {
    "llama": ("llama", "LlamaForCausalLM"),
    "qwen2": ("qwen2", "Qwen2ForCausalLM"),
    "qwen3": ("qwen3", "Qwen3ForCausalLM"),
    "gemma3": ("gemma3_text", "Gemma3ForCausalLM"),
}
"""GGUF architecture to mlx-lm's model type and the architecture's usual name."""

_END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|eom_id|>")
_END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>")
_CONTROL = 3
_GEMMA3_27B_LAYERS = 62
_SAMPLING = {"temp": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p"}


def model_config(meta: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """mlx-lm's config, without the quantisation. `tensors`: gguf's `ReaderTensor`s by name.

    Raises:
        GGUFError: the architecture or its position scaling is unknown, or a value is missing.
    """
    architecture = str(meta.get("general.architecture"))
    if architecture not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise GGUFError(f"architecture {architecture!r} is not one of {known}")
    get = _Reader(meta, architecture)
    model_type, name = FAMILIES[architecture]
    heads = head_counts(meta)
    hidden = get("embedding_length")
    head_dim = meta.get(f"{architecture}.attention.key_length") or hidden // heads["q"]
    config = {
        "model_type": model_type,
        "architectures": [name],
        "hidden_size": hidden,
        "num_hidden_layers": get("block_count"),
        "intermediate_size": get("feed_forward_length"),
        "num_attention_heads": heads["q"],
        "num_key_value_heads": heads["k"],
        "head_dim": head_dim,
        # Written as float32: 1e-5 must not become 9.99999974e-06.
        "rms_norm_eps": float(f"{get('attention.layer_norm_rms_epsilon'):.6g}"),
        "vocab_size": int(tensors["token_embd.weight"].shape[1]) if "token_embd.weight" in tensors else None,
        "max_position_embeddings": get("context_length"),
        "rope_theta": float(meta.get(f"{architecture}.rope.freq_base", 10000.0)),
        "tie_word_embeddings": "output.weight" not in tensors,
        "bos_token_id": meta.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": end_tokens(meta),
        "rope_scaling": _rope_scaling(meta, architecture, tensors, head_dim),
    }
    if architecture == "llama":
        config["attention_bias"] = "blk.0.attn_q.bias" in tensors
        config["mlp_bias"] = "blk.0.ffn_gate.bias" in tensors
    if architecture == "gemma3":
        config.update(_gemma3(meta, config))
    return {key: value for key, value in config.items() if value is not None}


class _Reader:
    def __init__(self, meta: Mapping[str, Any], architecture: str) -> None:
        self._meta = meta
        self._architecture = architecture

    def __call__(self, name: str) -> Any:
        try:
            return self._meta[f"{self._architecture}.{name}"]
        except KeyError:
            raise GGUFError(f"the metadata lack {self._architecture}.{name}") from None


def head_counts(meta: Mapping[str, Any]) -> dict[str, int]:
    """Query heads as `q`, key and value heads as `k`."""
    architecture = str(meta.get("general.architecture"))
    queries = _Reader(meta, architecture)("attention.head_count")
    keys = meta.get(f"{architecture}.attention.head_count_kv", queries)
    if isinstance(queries, list) or isinstance(keys, list):
        raise GGUFError("head counts that differ by layer are not supported")
    return {"q": int(queries), "k": int(keys)}


def _gemma3(meta: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    pattern = meta.get("gemma3.attention.sliding_window_pattern", 6)
    largest = config["num_hidden_layers"] == _GEMMA3_27B_LAYERS
    return {
        "rope_theta": float(meta.get("gemma3.rope.freq_base", 1e6)),
        "rope_local_base_freq": float(meta.get("gemma3.rope.freq_base_swa", 1e4)),
        "sliding_window": int(meta.get("gemma3.attention.sliding_window", 512)),
        "sliding_window_pattern": _period(pattern) if isinstance(pattern, list) else int(pattern),
        # The metadata do not contain it. llama.cpp also recognises the 27B by its number of layers.
        "query_pre_attn_scalar": (
            config["hidden_size"] // config["num_attention_heads"] if largest else config["head_dim"]
        ),
    }


def _period(sliding: Sequence[bool]) -> int:
    """The distance between two layers without a sliding window. `sliding`: whether each layer has one."""
    return list(sliding).index(False) + 1 if False in sliding else len(sliding) + 1


def _rope_scaling(
    meta: Mapping[str, Any], architecture: str, tensors: Mapping[str, Any], head_dim: int
) -> dict[str, Any] | None:
    if "rope_freqs.weight" in tensors:
        base = float(meta.get(f"{architecture}.rope.freq_base", 10000.0))
        return _llama3_scaling(np.asarray(tensors["rope_freqs.weight"].data), base, head_dim)
    kind = meta.get(f"{architecture}.rope.scaling.type", "none")
    factor = float(meta.get(f"{architecture}.rope.scaling.factor", 1.0))
    if kind == "none" or (kind == "linear" and factor == 1.0):
        return None
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind == "yarn":
        original = meta.get(f"{architecture}.rope.scaling.original_context_length")
        return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
    raise GGUFError(f"position scaling of type {kind!r} is not supported")


def _llama3_scaling(factors: np.ndarray[Any, Any], base: float, head_dim: int) -> dict[str, Any]:
    """The parameters of Llama 3's frequency factors, of which GGUF stores only the computed factors.

    All published models use the same low and high frequency factors and original context. The parameter `factor` is the
    largest of the computed factors. Factors that do not follow from these parameters are refused.
    """
    low, high, original, factor = 1.0, 4.0, 8192, float(factors.max())
    wavelengths = 2 * math.pi * base ** (np.arange(0, head_dim, 2) / head_dim)
    smooth = np.clip((original / wavelengths - low) / (high - low), 0.0, 1.0)
    expected = 1.0 / ((1 - smooth) / factor + smooth)
    if factors.shape != expected.shape or not np.allclose(factors, expected, rtol=1e-3):
        raise GGUFError("rope_freqs.weight holds frequency factors that are not Llama 3's")
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }


def end_tokens(meta: Mapping[str, Any]) -> list[int]:
    """Ids that end an output: those in the metadata, the chat template's ends of turns, and the end of a text."""
    named = [meta.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    ids = [int(id) for id in named if id is not None]
    tokens, types = meta.get("tokenizer.ggml.tokens", []), meta.get("tokenizer.ggml.token_type", [])
    template = meta.get("tokenizer.chat_template", "")
    for token in _END_OF_TURN + _END_OF_TEXT:
        if (token in template or token in _END_OF_TEXT) and token in tokens:
            id = tokens.index(token)
            if id < len(types) and types[id] == _CONTROL:
                ids.append(id)
    return list(dict.fromkeys(ids))


def generation_config(meta: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The end tokens, and the sampling defaults that the file recommends or the caller sets."""
    config: dict[str, Any] = {"eos_token_id": end_tokens(meta)}
    if meta.get("tokenizer.ggml.bos_token_id") is not None:
        config["bos_token_id"] = meta["tokenizer.ggml.bos_token_id"]
    for theirs, ours in _SAMPLING.items():
        if f"general.sampling.{theirs}" in meta:
            config[ours] = meta[f"general.sampling.{theirs}"]
    return {**config, **overrides}
