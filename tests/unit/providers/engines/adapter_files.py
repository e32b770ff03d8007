"""LoRA adapters of the tiny model with random weights, as folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx

RANK = 4
SHAPES = {"self_attn.q_proj": (64, 64), "self_attn.v_proj": (32, 64), "mlp.down_proj": (64, 96)}
"""(out, in) of the layers that are changed."""
LAYERS = 2


def write_adapter(
    folder: Path, *, seed: int = 3, scale: float = 2.0, size: float = 0.05, prefix: str = "", **parameters: Any
) -> Path:
    """Write an adapter in the format of mlx-lm's trainer. `prefix`: of the names of layers."""
    folder.mkdir(parents=True)
    tensors = {}
    for name, a, b in products(seed, size):
        tensors |= {f"{prefix}{name}.lora_a": a.T, f"{prefix}{name}.lora_b": b.T}
    mx.save_safetensors(str(folder / "adapters.safetensors"), tensors)
    lora = {"rank": RANK, "scale": scale, "dropout": 0.1, "keys": list(SHAPES), **parameters}
    config = {"fine_tune_type": "lora", "num_layers": LAYERS, "lora_parameters": lora}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def write_peft_adapter(folder: Path, *, seed: int = 3, alpha: float = 8.0, size: float = 0.05, **config: Any) -> Path:
    """Write an adapter in the format of PEFT's `save_pretrained`."""
    folder.mkdir(parents=True)
    tensors = {}
    for name, a, b in products(seed, size):
        tensors |= {f"base_model.model.{name}.lora_A.weight": a, f"base_model.model.{name}.lora_B.weight": b}
    mx.save_safetensors(str(folder / "adapter_model.safetensors"), tensors)
    described = {"peft_type": "LORA", "r": RANK, "lora_alpha": alpha, "bias": "none", "use_dora": False, **config}
    (folder / "adapter_config.json").write_text(json.dumps(described))
    return folder


def products(seed: int, size: float = 0.05) -> list[tuple[str, mx.array, mx.array]]:
    """Per changed layer: its name, A (rank, in) and B (out, rank)."""
    keys = iter(mx.random.split(mx.random.key(seed), 2 * LAYERS * len(SHAPES)))
    return [
        (
            f"model.layers.{layer}.{name}",
            mx.random.normal((RANK, wide), key=next(keys)),
            mx.random.normal((tall, RANK), key=next(keys)) * size,
        )
        for layer in range(LAYERS)
        for name, (tall, wide) in SHAPES.items()
    ]
