"""Two-layer models with random weights and a byte-level tokenizer, as ordinary model folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models import gemma3_text, lfm2, llama, mamba2
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CONTEXT = 512
SPECIAL = ["<|end|>", "<|start|>"]
END, START = 0, 1
BYTES = pre_tokenizers.ByteLevel.alphabet()
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'poison' %}{{ raise_exception('no such role') }}{% endif %}"
    "{{ '<|start|>' + message['role'] + '\n' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>' }}{% endif %}{{ suffix }}"
)


def vocabulary() -> list[str]:
    """Two special tokens, the 256 bytes, and a few merges."""
    return [*SPECIAL, *sorted(BYTES), "he", "ll", "hell", "hello", "Ġw"]


def merges() -> list[tuple[str, str]]:
    return [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w")]


def tokenizer(more: Sequence[tuple[str, str]] = ()) -> Tokenizer:
    """`more`: merges beside the usual ones."""
    tokens = [*vocabulary(), *(first + second for first, second in more)]
    model: Any = models.BPE(vocab={token: id for id, token in enumerate(tokens)}, merges=[*merges(), *more])
    made = Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return made


def config(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        # Wider than the tokenizer's vocabulary, as real models' are.
        "vocab_size": len(vocabulary()) + 9,
        "max_position_embeddings": CONTEXT,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "eos_token_id": [END],
        **changes,
    }


def write_folder(
    folder: Path,
    *,
    seed: int = 7,
    template: str | None = TEMPLATE,
    generation: Any = None,
    architecture: Any = llama,
    scale: float = 8,
    **changes: Any,
) -> Path:
    """A model folder; `changes` go into its config. `architecture`: a module of `mlx_lm.models`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = config(**changes)
    mx.random.seed(seed)
    model = architecture.Model(architecture.ModelArgs.from_dict(made))
    # Larger than the usual initialisation: random logits must differ enough for arithmetic noise not to matter.
    weights = {name: array * scale if array.ndim > 1 else array for name, array in tree_flatten(model.parameters())}
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(made))
    tokenizer().save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": SPECIAL[END],
        "bos_token": SPECIAL[START],
        "chat_template": template,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in described.items() if v is not None}))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


WINDOW = 24
"""Tokens that the sliding layers of `write_sliding_folder`'s model see."""


def write_sliding_folder(folder: Path, **changes: Any) -> Path:
    """A layer that sees only the last tokens, and one that sees all: the cache can be trimmed until it rotates."""
    family = {
        "model_type": "gemma3_text",
        "head_dim": 16,
        "sliding_window": WINDOW,
        "sliding_window_pattern": 2,
        "query_pre_attn_scalar": 16,
    }
    return write_folder(folder, architecture=gemma3_text, scale=3, **family, **changes)


def write_hybrid_folder(folder: Path, **changes: Any) -> Path:
    """A convolution with a state between two attentions: the cache can never be trimmed."""
    family = {
        "model_type": "lfm2",
        "norm_eps": 1e-5,
        "conv_bias": False,
        "conv_L_cache": 3,
        "block_dim": 64,
        "block_ff_dim": 96,
        "block_multiple_of": 8,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
        "layer_types": ["full_attention", "conv", "full_attention"],
    }
    return write_folder(folder, architecture=lfm2, scale=3, num_hidden_layers=3, **family, **changes)


def write_recurrent_folder(folder: Path, **changes: Any) -> Path:
    """Only states and no attention: every cache has the same size."""
    family = {
        "model_type": "mamba2",
        "num_heads": 4,
        "head_dim": 32,
        "state_size": 16,
        "conv_kernel": 4,
        "n_groups": 1,
        "use_bias": False,
        "use_conv_bias": True,
        "layer_norm_epsilon": 1e-5,
        "time_step_limit": [0.001, 0.1],
        "time_step_rank": "auto",
    }
    return write_folder(folder, architecture=mamba2, scale=4, **family, **changes)
