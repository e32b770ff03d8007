"""Facts from a model's `config.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from providers.capabilities import ModelType

__all__ = ["READS_PICTURES", "guess_type", "is_in_parts", "model_context", "read_config"]

_ENCODERS = frozenset({"bert", "modernbert", "xlm-roberta", "xlm_roberta", "roberta", "llama_bidirec"})

READS_PICTURES = frozenset(
    {
        *(
            "gemma3",
            "glm4v",
            "glm4v_moe",
            "idefics3",
            "internvl",
            "internvl_chat",
            "lfm2-vl",
            "lfm2_vl",
            "llava",
            "mistral3",
            "pixtral",
        ),
        *("qwen2_5_vl", "qwen2_vl", "qwen3_vl", "qwen3_vl_moe", "smolvlm"),
    }
)
"""The architectures of `--model-type multimodal`."""


def read_config(folder: Path) -> dict[str, Any]:
    """The content of `config.json`; empty if it is missing or not an object."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def is_in_parts(folder: Path) -> bool:
    """Whether it is an image model as mflux and diffusers save one: a folder per part, among them the VAE."""
    return not (folder / "config.json").is_file() and any((folder / "vae").glob("*.safetensors"))


def guess_type(folder: Path, config: Mapping[str, Any]) -> ModelType:
    """The `--model-type` with which this model folder is probably served."""
    if is_in_parts(folder):
        return "image-generation"
    if "istftnet" in config:
        return "tts"
    if config.get("model_type") == "whisper":
        return "whisper"
    if config.get("model_type") in _ENCODERS or (folder / "modules.json").is_file():
        return "embeddings"
    if config.get("model_type") in READS_PICTURES and isinstance(config.get("vision_config"), Mapping):
        return "multimodal"
    return "lm"


def model_context(config: Mapping[str, Any]) -> int | None:
    """The model's own limit in tokens, under the names that configs use; None if the config has none."""
    text = config.get("text_config")
    for part in (config, text if isinstance(text, Mapping) else {}):
        for name in ("max_position_embeddings", "max_seq_len", "n_positions", "seq_length"):
            value = part.get(name)
            if isinstance(value, int) and value > 0:
                return value
    return None
