"""A two-layer model with random weights and a byte-level tokenizer, as an ordinary model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models import llama
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


def tokenizer() -> Tokenizer:
    model: Any = models.BPE(vocab={token: id for id, token in enumerate(vocabulary())}, merges=merges())
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
    folder: Path, *, seed: int = 7, template: str | None = TEMPLATE, generation: Any = None, **changes: Any
) -> Path:
    """A model folder; `changes` go into its config."""
    folder.mkdir(parents=True, exist_ok=True)
    made = config(**changes)
    mx.random.seed(seed)
    model = llama.Model(llama.ModelArgs.from_dict(made))
    # Larger than the usual initialisation: random logits must differ enough for arithmetic noise not to matter.
    weights = {name: array * 8 if array.ndim > 1 else array for name, array in tree_flatten(model.parameters())}
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
