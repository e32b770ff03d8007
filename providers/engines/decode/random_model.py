"""Models with random weights, for measurements on machines that have none."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.models import qwen2

__all__ = ["SHAPES", "random_model"]

SHAPES: dict[str, dict[str, int]] = {
    "7b": {
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
    },
    "tiny": {
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "intermediate_size": 256,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": 49152,
    },
}
"""The sizes of Qwen2 7B, and sizes to try a measurement with."""


def random_model(shape: str) -> tuple[Any, dict[str, Any]]:
    """A Qwen2 of this shape in bfloat16, and its config.json."""
    config = {
        "model_type": "qwen2",
        **SHAPES[shape],
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }
    arguments: Any = qwen2.ModelArgs
    model = qwen2.Model(arguments.from_dict(config))
    mx.random.seed(0)
    for module in (*model.layers, model):
        arrays: Any = tree_flatten(module.parameters())
        drawn = [(name, _weight(name, array)) for name, array in arrays if array.dtype != mx.bfloat16]
        module.update(tree_unflatten(drawn))
        mx.eval(module.parameters())
    return model, config


def _weight(name: str, array: mx.array) -> mx.array:
    if "norm" in name:
        return mx.ones(array.shape, dtype=mx.bfloat16)
    return mx.random.normal(array.shape, dtype=mx.bfloat16) * 0.02
