"""Tiny GGUF files, written from random native models with llama.cpp's own conventions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models import gemma3_text, llama, qwen2, qwen3

from tests.unit.providers.engines import tiny

HIDDEN, HEADS, KEY_HEADS, LAYERS, INNER, CONTEXT = 64, 4, 2, 3, 96, 256
MODULES: dict[str, Any] = {"llama": llama, "qwen2": qwen2, "qwen3": qwen3, "gemma3": gemma3_text}
_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_GEMMA = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def native_model(family: str, *, tied: bool = True) -> Any:
    """A random model of mlx-lm's own."""
    common = {
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "intermediate_size": INNER,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "rms_norm_eps": 1e-5,
        "vocab_size": len(tiny.vocabulary()),
        "max_position_embeddings": CONTEXT,
        "rope_theta": 5000.0,
        "tie_word_embeddings": tied,
    }
    if family in ("qwen3", "gemma3"):
        common["head_dim"] = 32
    if family == "gemma3":
        common |= {"sliding_window": 16, "sliding_window_pattern": 2, "query_pre_attn_scalar": 32}
    mx.random.seed(len(family))
    module = MODULES[family]
    model = module.Model(module.ModelArgs.from_dict({"model_type": family, **common}))
    if family == "gemma3" and tied:
        model.sanitize({})
    random = [(name, mx.random.normal(array.shape) * 0.2) for name, array in tree_flatten(model.parameters())]
    model.load_weights(random)
    return model


def write(path: Path, family: str, model: Any, *, kind: str = "F32", spm: bool = False, **metadata: Any) -> Path:
    """The model as a GGUF file whose matrices have this type."""
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(5000.0)
    if family in ("qwen3", "gemma3"):
        writer.add_key_length(32)
    if family == "gemma3":
        writer.add_sliding_window(16)
        writer.add_uint32("gemma3.attention.sliding_window_pattern", 2)
    _add_tokenizer(writer, spm=spm)
    for name, value in metadata.items():
        writer.add_string(name.replace("__", "."), value)
    for name, array in tree_flatten(model.parameters()):
        _add_tensor(writer, family, name, np.array(array), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: Any, *, spm: bool) -> None:
    tokens = tiny.vocabulary()
    writer.add_tokenizer_model("llama" if spm else "gpt2")
    if spm:
        writer.add_token_scores([-float(id) for id in range(len(tokens))])
        writer.add_add_space_prefix(False)
    else:
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges([" ".join(merge) for merge in tiny.merges()])
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in tiny.SPECIAL else 1 for token in tokens])
    writer.add_eos_token_id(tiny.END)
    writer.add_bos_token_id(tiny.START)
    writer.add_add_bos_token(False)
    writer.add_chat_template(tiny.TEMPLATE)


def _add_tensor(writer: Any, family: str, name: str, array: np.ndarray[Any, Any], kind: str) -> None:
    path, suffix = name.rsplit(".", 1)
    names = {**_NAMES, **_GEMMA} if family == "gemma3" else _NAMES
    if path.startswith("model.layers."):
        _, _, layer, stem = path.split(".", 3)
        theirs = f"blk.{layer}.{names[stem]}.{suffix}"
    else:
        theirs = f"{names[path]}.{suffix}"
    if family == "llama" and path.endswith(("q_proj", "k_proj")):
        heads = HEADS if path.endswith("q_proj") else KEY_HEADS
        array = permute(array, heads)
    if family == "gemma3" and "norm" in path:
        array = array + 1
    if array.ndim < 2 or kind == "F32":
        writer.add_tensor(theirs, array.astype(np.float32))
        return
    type = gguf.GGMLQuantizationType[kind]
    writer.add_tensor(theirs, gguf.quantize(array.astype(np.float32), type), raw_dtype=type)


def permute(array: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """llama.cpp's row order for rotary embeddings, as its converter writes it."""
    rows = array.shape[0]
    return array.reshape(heads, 2, rows // heads // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
