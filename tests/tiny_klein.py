"""A folder with a FLUX.2 klein of a million random weights, saved by mflux itself: `python -m tests.tiny_klein FOLDER`.

Its `config.json` files describe its shapes, which are not in mflux's table. Its images are noise.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

VAE = {"block_out_channels": [32, 32, 32, 64]}
TRANSFORMER = {
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "joint_attention_dim": 3 * 64,
    "axes_dims_rope": [8, 8, 8, 8],
}
TEXT_ENCODER = {
    "vocab_size": 320,
    "hidden_size": 64,
    "num_hidden_layers": 28,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 64,
    "head_dim": 32,
}
"""mflux reads its layers 9, 18 and 27."""
_TEMPLATE = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"


def build(folder: Path) -> Path:
    """Write the folder, unless it is there. Takes a few seconds, most of them mflux's import."""
    if (folder / "vae" / "0.safetensors").is_file():
        return folder
    for part, config in (("vae", VAE), ("transformer", TRANSFORMER), ("text_encoder", TEXT_ENCODER)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / "config.json").write_text(json.dumps(config))
    _write_tokenizer(folder / "tokenizer")
    from mflux.models.common.weights.saving.model_saver import ModelSaver
    from mflux.models.flux2.weights.flux2_weight_definition import Flux2KleinWeightDefinition

    ModelSaver.save_model(_random_model(folder), None, str(folder), Flux2KleinWeightDefinition)
    return folder


def _random_model(folder: Path) -> Any:
    import mlx.core as mx
    from mflux.models.flux2.flux2_initializer import Flux2Initializer
    from mflux.models.flux2.variants.txt2img.flux2_klein import Flux2Klein
    from mlx import nn
    from mlx.utils import tree_map

    from providers.engines.image.mflux_internals import folder_config, folder_vae

    model: Any = Flux2Klein.__new__(Flux2Klein)
    nn.Module.__init__(model)
    Flux2Initializer._init_config(model, folder_config("flux2-klein-4b", folder))
    model.small_text_encoder, model.bits = False, None
    with folder_vae(folder):
        Flux2Initializer._init_models(model)
    mx.random.seed(0)

    def drawn(array: Any) -> Any:
        if array.ndim > 1:
            return mx.random.normal(array.shape) * (2.0 / array[0].size) ** 0.5
        return mx.ones(array.shape) if array.ndim else array

    for part in (model.vae, model.transformer, model.text_encoder):
        part.update(tree_map(drawn, part.parameters()))
    Flux2Initializer._init_tokenizers(model, str(folder))
    return model


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: at for at, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|endoftext|>", eos_token="<|im_end|>", chat_template=_TEMPLATE
    )
    fast.save_pretrained(folder)


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
