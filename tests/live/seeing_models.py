"""Models that read pictures: the embedded language model's real weights behind a vision tower of random weights.

They answer questions in words as the embedded model does. What they write about pictures is fluent nonsense, which
depends on the picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_vlm.models import qwen2_vl, smolvlm

from providers.weights import resolve

RENAMED = {
    "smolvlm": {
        "<gh_stars>": "<image>",
        "<issue_start>": "<fake_token_around_image>",
        "<issue_closed>": "<global-img>",
    },
    "qwen2_vl": {
        "<gh_stars>": "<|image_pad|>",
        "<issue_start>": "<|vision_start|>",
        "<issue_closed>": "<|vision_end|>",
        "<jupyter_start>": "<|video_pad|>",
    },
}
"""Special tokens that the embedded model does not use in chats, and their new names."""
_PICTURE = {"smolvlm": "<image>", "qwen2_vl": "<|vision_start|><|image_pad|><|vision_end|>"}
_SYSTEM = "<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n"


def write_seeing_model(folder: Path, model_type: str, *, full: bool = False) -> Path:
    """A model folder. `model_type`: `smolvlm` or `qwen2_vl`.

    `full`: a tower of the size of SmolVLM-256M's, twelve layers of 768; otherwise two layers of 32.
    """
    folder.mkdir(parents=True)
    embedded = resolve("embedded:smollm2-135m-instruct")
    tokenizer = (embedded / "tokenizer.json").read_text(encoding="utf-8")
    for old, new in RENAMED[model_type].items():
        tokenizer = tokenizer.replace(json.dumps(old), json.dumps(new))
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    ids = {token["content"]: token["id"] for token in json.loads(tokenizer)["added_tokens"]}
    described = json.loads((embedded / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**described, "chat_template": _template(model_type)}))
    text = json.loads((embedded / "config.json").read_text())
    mx.random.seed(3)
    write = _write_smolvlm if model_type == "smolvlm" else _write_qwen2_vl
    write(folder, embedded / "model.safetensors", text, ids, full)
    return folder


def _template(model_type: str) -> str:
    return (
        "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '" + _SYSTEM + "' }}"
        "{% endif %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['content'] is string %}"
        "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        "{{ '" + _PICTURE[model_type] + "' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
        "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )


def _write_smolvlm(folder: Path, weights: Path, text: dict[str, Any], ids: Mapping[str, int], full: bool) -> None:
    names = ("hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size", "image_size")
    tower = dict(zip(names, (768, 12, 12, 3072, 512) if full else (32, 2, 2, 48, 64), strict=True))
    side, merged = tower["image_size"], 4 if full else 2
    vision = {"model_type": "smolvlm_vision", "patch_size": 16, **tower}
    eight, *_ = (value for value in text.pop("quantization").values() if isinstance(value, dict))
    head = {"language_model.embed_tokens": eight, "language_model.lm_head": eight}
    config = {
        "model_type": "smolvlm",
        "text_config": text,
        "vision_config": vision,
        "scale_factor": merged,
        "image_token_id": ids["<image>"],
        "vocab_size": text["vocab_size"],
        "eos_token_id": text["eos_token_id"],
        "quantization": {"group_size": 32, "bits": 4, **head},
    }
    made = smolvlm.ModelConfig.from_dict(json.loads(json.dumps(config)))
    made.text_config = smolvlm.TextConfig.from_dict({**text, "num_hidden_layers": 1})
    made.vision_config = smolvlm.VisionConfig.from_dict(vision)
    language = {name.removeprefix("model."): array for name, array in mx.load(str(weights)).items()}
    language |= {
        name.replace("embed_tokens", "lm_head"): array for name, array in language.items() if "embed_tokens" in name
    }
    _save(folder, config, smolvlm.Model(made), {f"language_model.{name}": array for name, array in language.items()})
    processor = {
        "image_processor_type": "SmolVLMImageProcessor",
        "do_resize": True,
        "size": {"longest_edge": side},
        "do_image_splitting": False,
        "max_image_size": {"longest_edge": side},
        "do_pad": True,
    }
    _write_processor(folder, processor, image_seq_len=(side // 16 // merged) ** 2)


def _write_qwen2_vl(folder: Path, weights: Path, text: dict[str, Any], ids: Mapping[str, int], full: bool) -> None:
    depth, width, heads, pixels = (12, 768, 12, 512 * 512) if full else (2, 32, 2, 12544)
    tower = {"depth": depth, "embed_dim": width, "num_heads": heads, "mlp_ratio": 4 if full else 2}
    vision = {"model_type": "qwen2_vl", "hidden_size": text["hidden_size"], **tower}
    eight, *_ = (value for value in text["quantization"].values() if isinstance(value, dict))
    config = {
        **text,
        "model_type": "qwen2_vl",
        "vision_config": {**vision, "patch_size": 14, "spatial_patch_size": 14},
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
        "quantization": {"group_size": 32, "bits": 4, "language_model.model.embed_tokens": eight},
    }
    made = qwen2_vl.ModelConfig.from_dict(json.loads(json.dumps(config)))
    made.text_config = qwen2_vl.TextConfig.from_dict({**config, "num_hidden_layers": 1})
    made.vision_config = qwen2_vl.VisionConfig.from_dict(config["vision_config"])
    widths = {"q": text["hidden_size"], **dict.fromkeys("kv", text["num_key_value_heads"] * text["head_dim"])}
    biases = {
        f"model.layers.{layer}.self_attn.{name}_proj.bias": mx.zeros(width)
        for layer in range(text["num_hidden_layers"])
        for name, width in widths.items()
    }
    (folder / "model.safetensors").symlink_to(weights)
    _save(folder, config, qwen2_vl.Model(made), biases, "model-vision.safetensors")
    processor = {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 14, "merge_size": 2}
    _write_processor(folder, {**processor, "temporal_patch_size": 2, "min_pixels": 3136, "max_pixels": pixels})


def _save(
    folder: Path, config: dict[str, Any], model: Any, others: Mapping[str, mx.array], name: str = "model.safetensors"
) -> None:
    """Write the configuration, and the weights beside those of the language model."""
    tower = dict(tree_flatten(model.parameters()))
    seen = {name: array for name, array in tower.items() if not name.startswith("language_model.")}
    mx.save_safetensors(str(folder / name), {**seen, **others}, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))


def _write_processor(folder: Path, processor: dict[str, Any], **changes: Any) -> None:
    normalize = {"do_rescale": True, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps({**normalize, **processor}))
    (folder / "processor_config.json").write_text(json.dumps(changes))
