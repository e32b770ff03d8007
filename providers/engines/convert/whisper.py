"""`python -m providers.engines.convert.whisper SRC DST`: turn a CTranslate2 Whisper folder into an MLX one.

SRC holds `model.bin` and `config.json`, as `faster-whisper` loads them. DST has mlx-whisper's format, like any
`mlx-community/whisper-*` folder. float16 weights stay; int8 weights become float16 by their scales. Prints progress as
JSON lines, `{"stage": …, "fraction": …}`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from providers.engines.convert.ctranslate2 import CT2Error, CT2Model, read_model
from providers.engines.convert.folders import print_progress, write_json, written_whole
from providers.engines.process.engine import Progress

__all__ = ["CT2Error", "convert"]

Array = np.ndarray[Any, Any]

AUDIO_CONTEXT = 1500
"""Positions of the encoder, which are thirty seconds in every Whisper."""
TEXT_CONTEXT = 448
_STACKS = ("encoder", "decoder")


def convert(source: Path, destination: Path, progress: Progress) -> None:
    """Write the model folder `destination`, completely or not at all. An existing folder is replaced.

    Raises:
        CT2Error: the folder has no Whisper, or something unknown.
        OSError: a file is missing, or the folder cannot be written.
    """
    progress("reading the file", 0.0)
    model = read_model(source / "model.bin")
    if model.spec != "WhisperSpec":
        raise CT2Error(f"this is a {model.spec}, not a WhisperSpec")
    settings = _read_settings(source / "config.json")
    progress("converting weights", 0.1)
    weights = {name: mx.array(np.ascontiguousarray(array)) for name, array in _weights(model)}
    if heads := settings.get("alignment_heads"):
        weights["alignment_heads"] = mx.array(np.array(heads, dtype=np.int32))
    with written_whole(destination) as folder:
        progress("writing", 0.8)
        mx.save_safetensors(str(folder / "weights.safetensors"), weights, metadata={"format": "mlx"})
        write_json(folder / "config.json", _config(model))
    progress("done", 1.0)


def _read_settings(file: Path) -> Mapping[str, Any]:
    try:
        settings = json.loads(file.read_text())
    except ValueError as error:
        raise CT2Error(f"{file.name} is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise CT2Error(f"{file.name} must be an object")
    return settings


def _config(model: CT2Model) -> dict[str, Any]:
    """Whisper's `ModelDimensions`, derived from the shapes."""
    vocabulary, width = model["decoder/embeddings/weight"].shape
    return {
        "model_type": "whisper",
        "n_mels": model["encoder/conv1/weight"].shape[1],
        "n_audio_ctx": AUDIO_CONTEXT,
        "n_audio_state": width,
        "n_audio_head": int(model["encoder/num_heads"]),
        "n_audio_layer": _layers(model, "encoder"),
        "n_vocab": vocabulary,
        "n_text_ctx": TEXT_CONTEXT,
        "n_text_state": width,
        "n_text_head": int(model["decoder/num_heads"]),
        "n_text_layer": _layers(model, "decoder"),
    }


def _layers(model: CT2Model, stack: str) -> int:
    prefix = f"{stack}/layer_"
    numbered = (name.removeprefix(prefix).split("/")[0] for name in model.variables if name.startswith(prefix))
    return 1 + max((int(number) for number in numbered if number.isdigit()), default=-1)


def _weights(model: CT2Model) -> Iterator[tuple[str, Array]]:
    for name in ("conv1", "conv2"):
        # CTranslate2's order is (out, in, kernel), MLX's (out, kernel, in).
        yield f"encoder.{name}.weight", _widened(model, f"encoder/{name}/weight").transpose(0, 2, 1)
        yield f"encoder.{name}.bias", model[f"encoder/{name}/bias"]
    yield from _norm(model, "encoder.ln_post", "encoder/layer_norm")
    yield from _norm(model, "decoder.ln", "decoder/layer_norm")
    yield "decoder.token_embedding.weight", _widened(model, "decoder/embeddings/weight")
    yield "decoder.positional_embedding", model["decoder/position_encodings/encodings"]
    for stack in _STACKS:
        for layer in range(_layers(model, stack)):
            yield from _block(model, f"{stack}.blocks.{layer}", f"{stack}/layer_{layer}")


def _block(model: CT2Model, target: str, source: str) -> Iterator[tuple[str, Array]]:
    attention = f"{source}/self_attention"
    yield from _split(model, f"{target}.attn", f"{attention}/linear_0", ("query", "key", "value"))
    yield from _split(model, f"{target}.attn", f"{attention}/linear_1", ("out",))
    yield from _norm(model, f"{target}.attn_ln", f"{attention}/layer_norm")
    if source.startswith("decoder"):
        attention = f"{source}/attention"
        yield from _split(model, f"{target}.cross_attn", f"{attention}/linear_0", ("query",))
        yield from _split(model, f"{target}.cross_attn", f"{attention}/linear_1", ("key", "value"))
        yield from _split(model, f"{target}.cross_attn", f"{attention}/linear_2", ("out",))
        yield from _norm(model, f"{target}.cross_attn_ln", f"{attention}/layer_norm")
    yield from _split(model, f"{target}.mlp1", f"{source}/ffn/linear_0", ("",))
    yield from _split(model, f"{target}.mlp2", f"{source}/ffn/linear_1", ("",))
    yield from _norm(model, f"{target}.mlp_ln", f"{source}/ffn/layer_norm")


def _split(model: CT2Model, target: str, source: str, parts: tuple[str, ...]) -> Iterator[tuple[str, Array]]:
    """One layer, or several that CTranslate2 stacks into one."""
    weights = np.split(_widened(model, f"{source}/weight"), len(parts))
    biases = np.split(model[f"{source}/bias"], len(parts))
    for part, weight, bias in zip(parts, weights, biases, strict=True):
        path = f"{target}.{part}" if part else target
        yield f"{path}.weight", weight
        if part != "key":
            yield f"{path}.bias", bias
        elif bias.any():
            raise CT2Error(f"{source} has a bias on its keys, which no Whisper has")


def _norm(model: CT2Model, target: str, source: str) -> Iterator[tuple[str, Array]]:
    yield f"{target}.weight", model[f"{source}/gamma"]
    yield f"{target}.bias", model[f"{source}/beta"]


def _widened(model: CT2Model, name: str) -> Array:
    """The weight. An int8 weight is divided by the scale of its row and becomes float16."""
    array = model[name]
    if array.dtype != np.int8:
        return array
    scale = model[f"{name}_scale"].astype(np.float32)
    return (array.astype(np.float32) / scale.reshape(-1, *[1] * (array.ndim - 1))).astype(np.float16)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m providers.engines.convert.whisper", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("source", type=Path, help="a folder with model.bin and config.json")
    parser.add_argument("destination", type=Path, help="the model folder to write")
    options = parser.parse_args()
    try:
        convert(options.source, options.destination, print_progress)
    except (CT2Error, OSError) as error:
        print(f"{options.source}: {error}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
