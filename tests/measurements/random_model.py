"""A folder with a Qwen2 of random weights: `python -m tests.measurements.random_model FOLDER [--like 7b] [--bits 4]`.

It is for machines with a GPU and no weights. The tokenizer is the embedded model's, or that of `--tokenizer FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import qwen2

from providers.engines.decode.random_model import SHAPES, random_model
from providers.weights import resolve

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
SHARD = 4 << 30


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--like", choices=SHAPES, default="7b")
    parser.add_argument("--bits", type=int, help="quantise the weights, in groups of 64")
    parser.add_argument("--tokenizer", default="embedded:smollm2-135m-instruct")
    options = parser.parse_args()
    model, config = random_model(options.like)
    if options.bits is not None:
        nn.quantize(model, 64, options.bits)
        config["quantization"] = {"group_size": 64, "bits": options.bits}
    options.folder.mkdir(parents=True, exist_ok=True)
    write(options.folder, model)
    (options.folder / "config.json").write_text(json.dumps(config))
    source = resolve(options.tokenizer, lambda stage, fraction: None)
    for name in TOKENIZER:
        if (source / name).is_file():
            shutil.copy(source / name, options.folder)


def write(folder: Path, model: qwen2.Model) -> None:
    shard: dict[str, mx.array] = {}
    number = 0
    arrays: Any = tree_flatten(model.parameters())
    for place, (name, array) in enumerate(arrays):
        shard[name] = array
        if place == len(arrays) - 1 or sum(each.nbytes for each in shard.values()) > SHARD:
            mx.save_safetensors(str(folder / f"model-{number:05}.safetensors"), shard, metadata={"format": "mlx"})
            shard, number = {}, number + 1


if __name__ == "__main__":
    main()
