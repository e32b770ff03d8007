"""`python -m providers.engines.convert.kokoro SRC DST`: turn Kokoro's ONNX export into mlx-audio's model folder.

SRC is a folder with `model.onnx`, onnxruntime's int8 export of Kokoro-82M, and `NAME.bin` for every voice: 510 style
vectors of 256 numbers, float32. The weights are dequantised to float32. DST is a folder for `mlx_audio.tts`:
`config.json`, `model.safetensors`, `voices/NAME.safetensors`. Prints progress as JSON lines,
`{"stage": …, "fraction": …}`.
"""

from __future__ import annotations

import argparse
import importlib.resources
import json
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from providers.engines.convert.folders import print_progress
from providers.engines.convert.onnx import Array, OnnxError, read_weights
from providers.engines.process.engine import Progress

__all__ = ["STYLE_SHAPE", "convert", "convert_voice", "stored_weights"]

STYLE_SHAPE = (510, 1, 256)
"""A voice: one style vector for every length of phonemes, the first half for the decoder, the second for prosody."""


def convert(source: Path, destination: Path, progress: Progress) -> None:
    """Write the model folder.

    Raises:
        OnnxError: a source file has another content.
        OSError: a file cannot be read or written.
    """
    from mlx_audio.tts.models.kokoro import Model, ModelConfig

    progress("reading the weights", 0.0)
    config = json.loads((importlib.resources.files(__package__) / "kokoro_config.json").read_text(encoding="utf-8"))
    model = Model(ModelConfig.from_dict(config))
    weights = read_weights(source / "model.onnx")
    progress("converting the weights", 0.4)
    stored = stored_weights(model, weights)
    (destination / "voices").mkdir(parents=True)
    progress("writing", 0.6)
    mx.save_safetensors(str(destination / "model.safetensors"), stored, metadata={"format": "mlx"})
    voices = sorted(source.glob("*.bin"))
    for done, file in enumerate(voices):
        progress("converting the voices", 0.8 + 0.2 * done / len(voices))
        style = {"voice": convert_voice(file)}
        mx.save_safetensors(str(destination / "voices" / f"{file.stem}.safetensors"), style, metadata={"format": "mlx"})
    written = json.dumps(config, indent=2, ensure_ascii=False)
    (destination / "config.json").write_text(written, encoding="utf-8")
    progress("done", 1.0)


def convert_voice(file: Path) -> mx.array:
    """The voice's style vectors, in `STYLE_SHAPE`.

    Raises:
        OnnxError: the file has another size.
    """
    numbers = np.fromfile(file, dtype="<f4")
    if numbers.size != np.prod(STYLE_SHAPE):
        raise OnnxError(f"{file.name}: {numbers.size} numbers, which is not the size of a voice")
    return mx.array(numbers.reshape(STYLE_SHAPE))


def stored_weights(model: Any, weights: dict[str, Array]) -> dict[str, mx.array]:
    """The weights in the form that `model.sanitize` turns into the model's own parameters.

    Raises:
        OnnxError: weights are missing, or the model has no such weight.
    """
    parameters: list[tuple[str, mx.array]] = tree_flatten(model.parameters())  # type: ignore[assignment]
    shapes = {name: array.shape for name, array in parameters}
    whole: dict[str, Array] = {}
    for name, weight in weights.items():
        if f"{name}_v" in shapes:
            whole[f"{name}_v"] = weight
            whole[f"{name}_g"] = np.sqrt((weight**2).sum(axis=(1, 2), keepdims=True))
        else:
            whole[name] = weight
    for name in ("bert.pooler.weight", "bert.pooler.bias"):  # unused, and so dropped by the export
        whole.setdefault(name, np.zeros(shapes[name], np.float32))
    stored: dict[str, mx.array] = {}
    for name, weight in whole.items():
        stored[name], made = _stored(model, name, mx.array(np.ascontiguousarray(weight)))
        if made not in shapes:
            raise OnnxError(f"{name}: the model has no such weight")
        del shapes[made]
    if shapes:
        raise OnnxError(f"weights are missing: {', '.join(sorted(shapes)[:5])}")
    return stored


def _stored(model: Any, name: str, weight: mx.array) -> tuple[mx.array, str]:
    """The weight, and the name that `sanitize` gives it.

    Convolutions are (out, in, width) in PyTorch and (out, width, in) in MLX. `sanitize` transposes them, except those
    whose shape it takes for MLX's order.
    """
    ((made, value),) = model.sanitize({name: weight}).items()
    if name.endswith((".weight", ".weight_v")) and weight.ndim == 3:
        wanted = weight.transpose(0, 2, 1)
        if value.shape != wanted.shape or not mx.array_equal(value, wanted):
            weight = mx.contiguous(wanted)
    return weight, str(made)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m providers.engines.convert.kokoro", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("source", type=Path, help="the folder of model.onnx and the voices")
    parser.add_argument("destination", type=Path, help="the model folder to write")
    options = parser.parse_args()
    try:
        convert(options.source, options.destination, print_progress)
    except (OnnxError, OSError) as error:
        print(f"{options.source}: {error}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
