"""Two-layer models that read pictures, with random weights and a real processor, as ordinary model folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_vlm.models import (
    gemma3,
    glm4v,
    glm4v_moe,
    idefics3,
    internvl,
    internvl_chat,
    lfm2_vl,
    llava,
    mistral3,
    pixtral,
    qwen2_5_vl,
    qwen2_vl,
    qwen3_vl,
    qwen3_vl_moe,
    smolvlm,
)
from tokenizers import AddedToken

from providers.chat.types import ChatMessage, ChatPrompt, ImagePart, TextPart
from tests.unit.providers.engines import tiny

_SMOL = [
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)),
]
_PIXTRAL = ["[IMG]", "[IMG_BREAK]", "[IMG_END]"]
_QWEN = ["<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"]
_INTERNVL = ["<IMG_CONTEXT>", "<img>", "</img>"]
_GLM = ["<|image|>", "<|begin_of_image|>", "<|end_of_image|>", "<|video|>"]
_LFM2 = ["<image>", "<|image_start|>", "<|image_end|>", "<|img_thumbnail|>"]
IMAGE_TOKENS = {
    "gemma3": ["<image_soft_token>", "<start_of_image>", "<end_of_image>"],
    "glm4v": _GLM,
    "glm4v_moe": _GLM,
    "internvl": _INTERNVL,
    "internvl_chat": _INTERNVL,
    "lfm2_vl": [*_LFM2, *(f"<|img_row_{row}_col_{column}|>" for row in (1, 2, 3) for column in (1, 2, 3))],
    "llava": ["<image>"],
    "idefics3": [*_SMOL, "<end_of_utterance>"],
    "mistral3": _PIXTRAL,
    "pixtral": _PIXTRAL,
    "qwen2_5_vl": _QWEN,
    "qwen2_vl": _QWEN,
    "qwen3_vl": _QWEN,
    "qwen3_vl_moe": _QWEN,
    "smolvlm": _SMOL,
}
"""By architecture; the first is the one in whose place a model reads a picture."""
IMAGE = {
    name: "<|vision_start|><|image_pad|><|vision_end|>" if tokens is _QWEN else tokens[0]
    for name, tokens in IMAGE_TOKENS.items()
} | {
    "gemma3": "<start_of_image>",
    **dict.fromkeys(("glm4v", "glm4v_moe"), "<|begin_of_image|><|image|><|end_of_image|>"),
    "internvl_chat": "<image>",
}
"""What the chat template writes for a picture."""
NORMALIZE = {"do_rescale": True, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def template(model_type: str) -> str:
    """Lists of parts only, as SmolVLM's: of a string it writes nothing."""
    return (
        "{% for message in messages %}{{ '<|start|>' + message['role'] + '\n' }}"
        "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
        "{% elif part['type'] == 'image' %}{{ '" + IMAGE[model_type] + "' }}{% endif %}{% endfor %}"
        "{{ '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>' }}{% endif %}"
    )


def _text(size: int) -> dict[str, Any]:
    return {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-5,
        "vocab_size": size,
        "max_position_embeddings": 2 * tiny.CONTEXT,
        "rope_theta": 10000.0,
    }


def _smolvlm(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    tower = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 48}
    config = {
        "text_config": {"model_type": "llama", **_text(size)},
        "vision_config": {"model_type": "smolvlm_vision", "patch_size": 8, "image_size": 32, **tower},
        "scale_factor": 2,
        "image_token_id": ids["<image>"],
    }
    processor = {
        "image_processor_type": "SmolVLMImageProcessor",
        "do_resize": True,
        "size": {"longest_edge": 64},
        "do_image_splitting": True,
        "max_image_size": {"longest_edge": 32},
        "do_pad": True,
    }
    return config, smolvlm, processor


def _qwen2_vl(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    config = {
        **_text(size),
        "vision_config": {"model_type": "qwen2_vl", "depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2},
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
        "tie_word_embeddings": False,
    }
    config["vision_config"] |= {"patch_size": 8, "spatial_patch_size": 8, "mlp_ratio": 2}
    processor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "patch_size": 8,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "min_pixels": 256,
        "max_pixels": 4096,
    }
    return config, qwen2_vl, processor


def _idefics3(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    config, _, processor = _smolvlm(size, ids)
    config["vision_config"]["model_type"] = "idefics3_vision"
    return config, idefics3, {**processor, "image_processor_type": "Idefics3ImageProcessor"}


def _qwen2_5_vl(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    config, _, processor = _qwen2_vl(size, ids)
    tower = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 64, "num_heads": 2}
    sizes = {"patch_size": 8, "spatial_patch_size": 8, "window_size": 32, "fullatt_block_indexes": [1]}
    config["vision_config"] = {"model_type": "qwen2_5_vl", **tower, **sizes}
    return config, qwen2_5_vl, processor


def _qwen3_vl(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    config, _, processor = _qwen2_5_vl(size, ids)
    config["vision_config"] |= {
        "model_type": "qwen3_vl",
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    text = {**_text(size), "head_dim": 32, "rope_scaling": config.pop("rope_scaling"), "tie_word_embeddings": False}
    config["text_config"] = {"model_type": "qwen3_vl_text", **text}
    return config, qwen3_vl, processor


def _qwen3_vl_moe(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    config, _, processor = _qwen3_vl(size, ids)
    config["vision_config"]["model_type"] = "qwen3_vl_moe"
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "decoder_sparse_step": 1, "mlp_only_layers": []}
    config["text_config"] |= {"model_type": "qwen3_vl_moe_text", "moe_intermediate_size": 32, **experts}
    return config, qwen3_vl_moe, processor


def _glm4v(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    tower = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 64, "num_heads": 2}
    rope = {"type": "default", "mrope_section": [2, 3, 3]}
    config = {
        "text_config": {"model_type": "glm4v_text", **_text(size), "rope_scaling": rope, "pad_token_id": tiny.END},
        "vision_config": {"model_type": "glm4v", "patch_size": 8, "image_size": 32, **tower},
        "image_token_id": ids["<|image|>"],
        "video_token_id": ids["<|video|>"],
        "vision_start_token_id": ids["<|begin_of_image|>"],
        "vision_end_token_id": ids["<|end_of_image|>"],
    }
    processor = {
        "image_processor_type": "Glm4vImageProcessor",
        "patch_size": 8,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "size": {"shortest_edge": 256, "longest_edge": 4096},
    }
    return config, glm4v, processor


def _glm4v_moe(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    config, _, processor = _glm4v(size, ids)
    config["vision_config"]["model_type"] = "glm4v_moe"
    experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 1, "topk_group": 1}
    experts |= {"moe_intermediate_size": 32, "norm_topk_prob": True, "routed_scaling_factor": 1.0}
    experts |= {"first_k_dense_replace": 1, "head_dim": 32, "use_qk_norm": False, "attention_bias": True}
    config["text_config"] |= {"model_type": "glm4v_moe_text", "partial_rotary_factor": 0.5, **experts}
    return config, glm4v_moe, processor


def _pixtral(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    tower = {"hidden_size": 32, "head_dim": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = {
        "text_config": {"model_type": "mistral", "head_dim": 32, **_text(size)},
        "vision_config": {"model_type": "pixtral", "patch_size": 8, "image_size": 64, "intermediate_size": 48, **tower},
        "image_token_index": ids["[IMG]"],
    }
    processor = {
        "image_processor_type": "PixtralImageProcessor",
        "do_resize": True,
        "size": {"longest_edge": 48},
        "patch_size": {"height": 8, "width": 8},
    }
    return config, pixtral, processor


def _mistral3(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    config, _, processor = _pixtral(size, ids)
    return {**config, "spatial_merge_size": 2}, mistral3, processor


_SIGLIP = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 48}


def _gemma3(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    text = {**_text(size), "num_hidden_layers": 3, "head_dim": 32, "query_pre_attn_scalar": 32}
    # Shorter than the prompts of tests: layers forget.
    text |= {"sliding_window": 24, "sliding_window_pattern": 3, "mm_tokens_per_image": 4}
    config = {
        "text_config": {"model_type": "gemma3_text", **text},
        "vision_config": {"model_type": "siglip_vision_model", "patch_size": 8, "image_size": 32, **_SIGLIP},
        "image_token_index": ids["<image_soft_token>"],
        "hidden_size": 64,
        "pad_token_id": tiny.END,
    }
    processor = {"image_processor_type": "Gemma3ImageProcessor", "do_resize": True, "size": {"height": 32, "width": 32}}
    return config, gemma3, processor


def _lfm2_vl(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    text = {**_text(size), "norm_eps": 1e-5, "block_dim": 64, "block_ff_dim": 96, "block_multiple_of": 8}
    text |= {"conv_dim": 64, "conv_dim_out": 64, "layer_types": ["conv", "full_attention"]}
    config = {
        "text_config": {"model_type": "lfm2", **text},
        "vision_config": {"model_type": "siglip2_vision_model", "patch_size": 8, "num_patches": 16, **_SIGLIP},
        "image_token_id": ids["<image>"],
        "downsample_factor": 2,
        "encoder_patch_size": 8,
        "projector_hidden_size": 48,
    }
    processor = {
        "image_processor_type": "Siglip2ImageProcessor",
        "encoder_patch_size": 8,
        "patch_size": 8,
        "downsample_factor": 2,
        "tile_size": 32,
        "max_image_tokens": 6,
        "min_image_tokens": 2,
        "max_num_patches": 24,
    }
    return config, lfm2_vl, processor


def _internvl_chat(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    config = {
        "text_config": {"model_type": "qwen2", **_text(size)},
        "vision_config": {"model_type": "intern_vit_6b", "patch_size": 8, "image_size": 32, **_SIGLIP},
        "max_dynamic_patch": 2,
        "downsample_ratio": 0.5,
    }
    return config, internvl_chat, {}


def _internvl(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    config, _, _ = _internvl_chat(size, ids)
    config["text_config"] = {"model_type": "qwen3", "head_dim": 32, "tie_word_embeddings": False, **_text(size)}
    return {**config, "image_token_id": ids["<IMG_CONTEXT>"]}, internvl, {}


def _llava(size: int, ids: dict[str, int]) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    config = {
        "text_config": {"model_type": "llama", **_text(size)},
        "vision_config": {"model_type": "clip_vision_model", "patch_size": 8, "image_size": 32, **_SIGLIP},
        "image_token_index": ids["<image>"],
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }
    config["vision_config"]["projection_dim"] = 32
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 32},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
    }
    return config, llava, processor


_TIED = ("gemma3", "lfm2_vl")
"""Their embeddings of tokens are the head too."""
_FAMILIES = {
    "gemma3": _gemma3,
    "glm4v": _glm4v,
    "glm4v_moe": _glm4v_moe,
    "internvl": _internvl,
    "internvl_chat": _internvl_chat,
    "lfm2_vl": _lfm2_vl,
    "llava": _llava,
    "mistral3": _mistral3,
    "pixtral": _pixtral,
    "qwen3_vl_moe": _qwen3_vl_moe,
    "idefics3": _idefics3,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen2_vl": _qwen2_vl,
    "qwen3_vl": _qwen3_vl,
    "smolvlm": _smolvlm,
}


def write_folder(
    folder: Path,
    model_type: str = "smolvlm",
    *,
    seed: int = 7,
    scale: float = 6,
    merges: Sequence[tuple[str, str]] = (),
) -> Path:
    """A model folder whose pictures take about ten to thirty tokens. `merges`: pairs that the tokenizer joins too.

    The model writes only ASCII characters and never ends, so that every token is a character of the answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny.tokenizer(merges)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in IMAGE_TOKENS[model_type]])
    size = tokenizer.get_vocab_size()
    config, family, processor = _FAMILIES[model_type](size, tokenizer.get_vocab())
    config |= {"model_type": model_type, "vocab_size": size, "eos_token_id": [tiny.END]}
    (folder / "config.json").write_text(json.dumps(config))
    made = family.ModelConfig.from_dict(json.loads(json.dumps(config)))
    made.text_config = family.TextConfig.from_dict(config.get("text_config", config))
    made.vision_config = family.VisionConfig.from_dict(config["vision_config"])
    mx.random.seed(seed)
    model = family.Model(made)
    weights = {name: array * scale if array.ndim > 1 else array for name, array in tree_flatten(model.parameters())}
    for name in (name for name in weights if name.endswith("mm_input_projection_weight")):
        weights[name] = mx.random.normal(weights[name].shape) / 8
    tied = ["language_model.model.embed_tokens.weight"] if model_type in _TIED else []
    # Otherwise the model repeats its last token.
    weights |= {name: weights[name] / scale for name in tied}
    heads = tied or [name for name in weights if name.endswith("lm_head.weight")]
    printed = mx.array([token.isascii() and token.isprintable() and len(token) == 1 for token in _by_id(tokenizer)])
    for name in heads:
        weights[name] = weights[name] * printed[:, None]
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": tiny.SPECIAL[tiny.END],
        "pad_token": tiny.SPECIAL[tiny.END],
        "bos_token": tiny.SPECIAL[tiny.START],
        "chat_template": template(model_type),
    }
    if model_type == "gemma3":
        names = ("image_token", "boi_token", "eoi_token")
        described["extra_special_tokens"] = dict(zip(names, IMAGE_TOKENS[model_type], strict=True))
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    (folder / "preprocessor_config.json").write_text(json.dumps({**NORMALIZE, **processor}))
    settings = {"image_seq_len": 4, "image_seq_length": 4, "patch_size": 8, "vision_feature_select_strategy": "default"}
    settings |= {"num_additional_image_tokens": 1}
    settings |= {"spatial_merge_size": config.get("spatial_merge_size", 1)}
    (folder / "processor_config.json").write_text(json.dumps(settings))
    return folder


def _by_id(tokenizer: Any) -> list[str]:
    return sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)


def picture(seed: int, width: int = 60, height: int = 40) -> ImagePart:
    """Coloured noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return ImagePart.of(width, height, pixels.tobytes())


def chat(*parts: str | ImagePart, role: str = "user") -> ChatPrompt:
    """One turn of texts and pictures."""
    content = [TextPart(part) if isinstance(part, str) else part for part in parts]
    return ChatPrompt(messages=[ChatMessage(role=role, content=content)])
