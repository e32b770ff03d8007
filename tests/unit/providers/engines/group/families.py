"""Small models of every family that mlx-lm can split, made from one set of dimensions."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import pkgutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.models
from mlx.utils import tree_flatten

LAYERS = 4
NO_CONFIG = {"prism_hadamard_qwen35"}
"""Families that need more than dimensions: this one lists how each of its weights was packed."""

_DIMENSIONS: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 128,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e4,
    "rotary_dim": 8,
    "partial_rotary_factor": 0.5,
    "rope_scaling": None,
    "rope_parameters": {"rope_theta": 1e4, "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 128},
    "tie_word_embeddings": False,
    "attention_bias": False,
    "use_qk_norm": True,
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "full_attention"] * (LAYERS // 2),
}
_EXPERTS: dict[str, Any] = {
    "moe_intermediate_size": 64,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "num_shared_experts": 1,
    "n_shared_experts": 1,
    "shared_expert_intermediate_size": 64,
    "shared_intermediate_size": 64,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
    "topk_method": "noaux_tc",
    "scoring_func": "sigmoid",
    "routed_scaling_factor": 1.0,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [0],
    "is_moe_layer": [False, True, True, True],
}
_LATENT_ATTENTION: dict[str, Any] = {
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "index_head_dim": 16,
    "index_n_heads": 4,
    "index_topk": 8,
}
_LINEAR_ATTENTION: dict[str, Any] = {
    "full_attention_interval": 2,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
    "layer_group_size": 2,
    "group_norm_size": 1,
}
_LONGCAT: dict[str, Any] = {
    "attention_method": "MLA",
    "num_layers": LAYERS,
    "ffn_hidden_size": 128,
    "expert_ffn_hidden_size": 64,
    "moe_topk": 2,
    "zero_expert_num": 1,
    "zero_expert_type": "identity",
    "mla_scale_q_lora": True,
    "mla_scale_kv_lora": True,
}
_OF_FAMILY: dict[str, dict[str, Any]] = {
    "deepseek_v2": {"rope_scaling": {"type": "yarn", "factor": 1.0}},
    "kimi_k3": {
        "linear_attn_config": {
            "kda_layers": [1, 3],
            "full_attn_layers": [2, 4],
            "num_heads": 4,
            "head_dim": 16,
            "short_conv_kernel_size": 4,
        },
    },
    "minimax_m3_vl": {"moe_layer_freq": [0, 1, 1, 1], "dense_intermediate_size": 128},
    "muse_spark": {
        "moe_hidden_size": 64,
        "num_shared_experts": 0,
        "post_norm_eps": 1e-5,
        "layer_rope_theta": [1e4] * LAYERS,
        "final_logit_softcapping": 30.0,
        "output_multiplier": 1.0,
    },
    "step3p5": {
        "num_attention_groups": 2,
        "moe_num_experts": 4,
        "moe_top_k": 2,
        "share_expert_dim": 64,
        "moe_layers_enum": "1,2,3",
    },
}


@functools.cache
def _modules() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in pkgutil.iter_modules(mlx_lm.models.__path__):
        try:
            module = importlib.import_module(f"mlx_lm.models.{entry.name}")
        except (ImportError, SystemExit):  # one family ends the process where its package is missing
            continue
        if hasattr(module, "Model"):
            found[entry.name] = module
    return found


def sharded_families() -> list[str]:
    """Names of the families whose model has `shard`."""
    return [name for name, module in _modules().items() if hasattr(module.Model, "shard") and name not in NO_CONFIG]


def pipelined_families() -> list[str]:
    """Names of the families whose inner model has `pipeline`."""
    mentioned = [name for name, module in _modules().items() if "ipeline" in inspect.getsource(module)]
    inherited = [name for name in sharded_families() if name not in mentioned]
    candidates = [name for name in (*mentioned, *inherited) if name not in NO_CONFIG]
    return [name for name in candidates if hasattr(getattr(build(name), "model", None), "pipeline")]


def config(family: str, **changes: Any) -> dict[str, Any]:
    dimensions = {
        **_DIMENSIONS,
        **_EXPERTS,
        **_LATENT_ATTENTION,
        **_LINEAR_ATTENTION,
        **_LONGCAT,
        **_OF_FAMILY.get(family, {}),
        **changes,
    }
    if family == "kimi_k3":
        del dimensions["moe_layer_freq"], dimensions["first_k_dense_replace"]
    nested = {**dimensions, "model_type": "kimi_linear" if family == "kimi_k3" else family}
    return {**dimensions, "model_type": family, "text_config": nested}


def build(family: str, **changes: Any) -> nn.Module:
    module = _modules()[family]
    model: nn.Module = module.Model(module.ModelArgs.from_dict(config(family, **changes)))
    return model


def write(folder: Path, family: str, *, quantised: int | None = None, **changes: Any) -> Path:
    """A model folder with random weights. `quantised`: weights per group of 4-bit weights."""
    folder.mkdir(parents=True, exist_ok=True)
    made = config(family, **changes)
    model = build(family, **changes)
    if quantised is not None:
        nn.quantize(model, quantised, 4)
        made["quantization"] = {"group_size": quantised, "bits": 4}
    weights: list[tuple[str, mx.array]] = tree_flatten(model.parameters())  # type: ignore[assignment]
    mx.save_safetensors(str(folder / "model.safetensors"), dict(weights), metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(made))
    return folder
