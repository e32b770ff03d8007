"""The embedded language model in forms that two ranks can share: every logit is that of the embedded model.

Its three key heads do not divide by two, and mlx-lm gives its family no pipeline. With `LIVE_RANKS=tensor` or
`LIVE_RANKS=pipeline` in the environment, the live tests' servers serve such a form on two ranks of this machine.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx

from providers.weights import resolve

Way = Literal["tensor", "pipeline"]
EMBEDDED = "embedded:smollm2-135m-instruct"

_WAYS: dict[str, Way] = {"tensor": "tensor", "pipeline": "pipeline"}
_FLAGS: dict[Way, str] = {"tensor": "--tensor-parallel", "pipeline": "--pipeline"}
_UNSCALED = {"llama_4_scaling_beta": 0.0, "original_max_position_embeddings": 8192}
"""Queries are not scaled by their place."""
_NAMES_A_MODEL = {"--model-path", "--model-type", "--config"}


def for_ranks(arguments: Sequence[str]) -> tuple[str, ...]:
    """Arguments of `launch` that let two ranks serve the chat model, if `LIVE_RANKS` asks for it.

    `arguments`: the others. If they name a model, that is served as they describe.
    """
    if _way() is None or _NAMES_A_MODEL.intersection(arguments):
        return ()
    return ("--model-path", str(chat_model()), *rank_options())


def rank_options() -> tuple[str, ...]:
    """Options of `launch` that serve a copy of the chat model on two ranks; empty without `LIVE_RANKS`."""
    way = _way()
    return () if way is None else (_FLAGS[way], "2")


def chat_model() -> Path:
    """Folder of the language model that servers without a named model serve."""
    way = _way()
    return resolve(EMBEDDED) if way is None else _divided_model(way)


def _way() -> Way | None:
    asked = os.environ.get("LIVE_RANKS")
    return _WAYS[asked] if asked else None


@functools.cache
def _divided_model(way: Way) -> Path:
    """The model folder of all servers of this test process."""
    folder = tempfile.mkdtemp(prefix="divided-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return write_divided_model(Path(folder), way)


def write_divided_model(folder: Path, way: Way) -> Path:
    """A model folder of the embedded model, for two ranks that share each layer, or that share the layers.

    `tensor`: with a fourth key head and its three query heads, all of zeros, whose output no layer reads.
    `pipeline`: as another family of the same arithmetic.
    """
    folder.mkdir(parents=True, exist_ok=True)
    embedded = resolve(EMBEDDED)
    config: dict[str, Any] = json.loads((embedded / "config.json").read_text())
    weights: Any = mx.load(str(embedded / "model.safetensors"))
    if way == "tensor":
        config |= _add_heads(weights, config)
    else:
        rope = {"rope_type": "default", "rope_theta": config.pop("rope_theta"), **_UNSCALED}
        config |= {"model_type": "ministral3", "rope_parameters": rope}
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).symlink_to(embedded / name)
    return folder


def _add_heads(weights: Any, config: dict[str, Any]) -> dict[str, int]:
    """Append one key head and its query heads to every layer's weights. Returns the new numbers of heads."""
    keys, queries = config["num_key_value_heads"], config["num_attention_heads"]
    for name, array in weights.items():
        layer = name.rpartition(".")[0]
        if layer.endswith((".k_proj", ".v_proj", ".q_proj")):
            weights[name] = mx.pad(array, [(0, array.shape[0] // keys), (0, 0)])
        elif layer.endswith(".o_proj"):  # packed values and scales alike: the columns of the heads
            weights[name] = mx.pad(array, [(0, 0), (0, array.shape[1] // keys)])
    return {"num_key_value_heads": keys + 1, "num_attention_heads": queries + queries // keys}
