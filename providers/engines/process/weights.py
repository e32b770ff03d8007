"""An engine's weights: find the folder, choose the dtype, convert, and quantize. Runs on the MLX thread."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm import utils as mlx_utils
from mlx_lm.utils import dequantize_model, quantize_model

from providers.engines.convert.gguf.conversion import convert_cached
from providers.engines.convert.gguf.errors import GGUFError
from providers.engines.group.ranks import ALONE, Ranks
from providers.engines.process.engine import EngineLoadError, Progress
from providers.memory.precision import choose_dtype
from providers.spec import ModelSpec
from providers.weights import WeightsError, resolve

__all__ = [
    "cast_weights",
    "check_folder",
    "chosen_dtype",
    "convert_weights",
    "dtype_in_words",
    "find_folder",
    "mlx_device",
    "quantize_weights",
    "weight_bytes",
    "widen_weights",
]

logger = logging.getLogger(__name__)

_mlx_lm: Any = mlx_utils  # partly annotated
_DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}


def mlx_device() -> str:
    """The device that MLX computes on: `cpu`, `metal` or `cuda`."""
    if mx.default_device() == mx.cpu:
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def find_folder(path: str, progress: Progress, *, patterns: Sequence[str] | None = None) -> Path:
    """The local folder of a model: downloaded for a hub id, converted for a GGUF file, else the folder itself.

    `patterns`: of the files to download, where other ones than a language model's are needed.

    Raises:
        EngineLoadError: it cannot be found or converted.
    """
    try:
        local = resolve(path, progress, patterns=patterns)
    except WeightsError as error:
        raise EngineLoadError(str(error)) from error
    if local.suffix.lower() == ".gguf":
        try:
            return convert_cached(local, progress)
        except GGUFError as error:
            raise EngineLoadError(f"{local.name} cannot be converted: {error}") from error
        except OSError as error:
            raise EngineLoadError(f"{local.name} cannot be converted: {error}") from error
    return local


def check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise EngineLoadError(f"{folder}: no such model folder")
    if not (folder / "config.json").is_file():
        raise EngineLoadError(f"{folder}: not an MLX model folder (config.json is missing)")
    if not any(folder.glob("model*.safetensors")):
        raise EngineLoadError(f"{folder}: the weights are missing (no model*.safetensors)")


def convert_weights(model: Any, config: dict[str, Any], spec: ModelSpec, device: str, progress: Progress) -> str:
    """Convert the weights to the spec's precision, lazily. Returns the reason for the choice."""
    reason = widen_weights(model, spec, device, progress)
    quantize_weights(model, config, spec)
    return reason


def widen_weights(model: Any, spec: ModelSpec, device: str, progress: Progress, ranks: Ranks = ALONE) -> str:
    """Convert the weights to the floating-point type to compute in, lazily. Returns the reason for the choice.

    Quantised weights become floating-point too if the spec asks for another quantisation.
    """
    quantized = any(hasattr(module, "bits") for _, module in model.named_modules())
    target, reason = ranks.agree(chosen_dtype(model, spec, device))
    logger.info("weights: %s", reason)
    if target is not None:
        progress(f"converting weights to {target}", None)
    if target is not None and (spec.quantize is None or quantized):
        cast_weights(model, _DTYPES[target])
        dequantize_model(model)
    if target is not None:
        cast_weights(model, _DTYPES[target])
    if quantized and target is None and spec.quantize is not None:
        dequantize_model(model)
    return reason


def quantize_weights(model: Any, config: dict[str, Any], spec: ModelSpec) -> None:
    """Quantise the weights as the spec asks, lazily.

    Raises:
        EngineLoadError: no layer can be quantised.
    """
    if spec.quantize is None:
        return
    # mlx-lm prints a line about the quantisation.
    with contextlib.redirect_stdout(sys.stderr):
        plain = {key: value for key, value in config.items() if not key.startswith("quantization")}
        for group_size in (64, 32):
            quantize_model(model, plain, group_size, spec.quantize)
            if any(hasattr(module, "bits") for _, module in model.named_modules()):
                return
    raise EngineLoadError(f"quantize: no layer of this model can be quantised to {spec.quantize} bits")


def chosen_dtype(model: Any, spec: ModelSpec, device: str) -> tuple[str | None, str]:
    """The floating-point type to convert a loaded model to (None: keep the present one), and why."""
    return choose_dtype(int(_mlx_lm.get_total_parameters(model)), spec, device)


def cast_weights(model: Any, dtype: mx.Dtype) -> None:
    model.apply(lambda array: array.astype(dtype) if mx.issubdtype(array.dtype, mx.floating) else array)


def dtype_in_words(model: Any) -> str:
    """The type of most bytes of floating-point weights, and the bits to which most layers are quantised."""
    sizes: dict[str, int] = {}
    for array in _arrays(model):
        if mx.issubdtype(array.dtype, mx.floating):
            name = str(array.dtype).removeprefix("mlx.core.")
            sizes[name] = sizes.get(name, 0) + array.nbytes
    floating = max(sizes, key=lambda name: sizes[name], default="-")
    bits = [int(module.bits) for _, module in model.named_modules() if hasattr(module, "bits")]
    return f"{floating}, quantised to {max(set(bits), key=bits.count)} bits" if bits else floating


def weight_bytes(model: Any) -> int:
    """Size of a model's parameters, in bytes."""
    return sum(array.nbytes for array in _arrays(model))


def _arrays(model: Any) -> list[mx.array]:
    flat: list[tuple[str, mx.array]] = tree_flatten(model.parameters())  # type: ignore[assignment]
    return [array for _, array in flat]
