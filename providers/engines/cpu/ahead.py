"""Quantised weights, widened for the Linux CPU while Python still imports what the engine needs.

MLX: mlx-lm's model comes after a second of imports, and its weights are computed when they are first used.
Here: as soon as MLX is imported, a thread widens the matrices of the model's files and lays them out for the BLAS. The
loader gives them to the model instead of computing them again. MLX holds no lock of Python's while it computes.
Gain: the embedded model's 1.1 s of widening pass beside 1.0 s of imports (`docs/performance.md`).
Delete when: the CPU multiplies quantised weights as fast as widened ones.
"""

from __future__ import annotations

import json
import logging
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlx.core as mx

from providers.engines.cpu.weight_layout import by_columns, multipliers
from providers.engines.process.platform import find_blas
from providers.memory.precision import choose_dtype
from providers.spec import ModelSpec

__all__ = ["adopt", "begin", "names_of_quantised", "take"]

logger = logging.getLogger(__name__)

_begun: dict[Path, Future[dict[str, mx.array]]] = {}


def begin(spec: ModelSpec) -> None:
    """Start to widen the model of the spec in a thread, if this is a language model whose weights will be widened."""
    folder = Path(spec.path)
    plain = spec.quantize is None and not spec.lora_paths and spec.max_memory is None
    if spec.model_type != "lm" or not plain or not sys.platform.startswith("linux") or find_blas() is None:
        return
    form = _quantization(folder)
    if form is None:
        return
    executor = ThreadPoolExecutor(1, thread_name_prefix="weights")
    _begun[folder] = executor.submit(_widen, folder, spec, form)
    executor.shutdown(wait=False)


def take(folder: Path) -> dict[str, mx.array]:
    """Return the matrices widened for this folder by their names, and keep them no longer. Waits for the thread."""
    begun = _begun.pop(folder, None)
    if begun is None:
        return {}
    try:
        return begun.result()
    except Exception:  # of a broken file, which the loader explains
        logger.debug("weights could not be widened ahead", exc_info=True)
        return {}


def names_of_quantised(model: Any, folder: Path) -> set[str]:
    """The names of a loaded model's quantised layers whose arrays are those of its files, unchanged."""
    stored = _stored(folder)
    loaded = model.sanitize(dict(stored)) if hasattr(model, "sanitize") else stored
    return {
        name
        for name, module in model.named_modules()
        if hasattr(module, "bits")
        and all(loaded.get(f"{name}.{part}") is stored.get(f"{name}.{part}") for part in ("weight", "scales", "biases"))
    }


def adopt(model: Any, widened: dict[str, mx.array], names: set[str]) -> set[str]:
    """Give the matrices to the layers of these names, which were quantised. Returns the names of those that got one."""
    adopted = set()
    for name, module in multipliers(model):
        wide = widened.get(name)
        if name in names and wide is not None and module.weight.shape == wide.shape:
            module.weight = wide
            adopted.add(name)
    return adopted


def _quantization(folder: Path) -> dict[str, Any] | None:
    """How a text model is quantised, as its config.json says it in MLX's own form; None for any other model."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return None
    form = config.get("quantization") if isinstance(config, dict) else None
    return form if isinstance(form, dict) and "vision_config" not in config else None


def _size(form: dict[str, Any], name: str) -> tuple[int, int] | None:
    """Group size and bits of a layer; None where it is quantised in another way than MLX's plain one."""
    own = form.get(name, form)
    try:
        return (int(own["group_size"]), int(own["bits"])) if own.get("mode", "affine") == "affine" else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _stored(folder: Path) -> dict[str, mx.array]:
    """The arrays of the model's files. Their numbers are read when they are used."""
    arrays: dict[str, mx.array] = {}
    for file in folder.glob("model*.safetensors"):
        arrays.update(mx.load(str(file)))  # type: ignore[arg-type]
    return arrays


def _widen(folder: Path, spec: ModelSpec, form: dict[str, Any]) -> dict[str, mx.array]:
    stored = _stored(folder)
    names = [name.removesuffix(".scales") for name in stored if name.endswith(".scales")]
    sizes = {name: size for name in names if (size := _size(form, name)) is not None}
    has_output = any(name.endswith("lm_head") for name in names)
    widened: dict[str, mx.array] = {}
    for name, (group_size, bits) in sizes.items():
        parts = [stored.get(f"{name}.{part}") for part in ("weight", "scales", "biases")]
        # A table that is only looked up is not laid out for products.
        if any(part is None or part.ndim != 2 for part in parts) or (has_output and "embed" in name):
            continue
        weight, scales, biases = (part for part in parts if part is not None)
        wide = mx.dequantize(
            weight, scales.astype(mx.float32), biases.astype(mx.float32), group_size=group_size, bits=bits
        )
        widened[name] = by_columns(wide)
    if choose_dtype(sum(array.size for array in widened.values()), spec, "cpu")[0] != "float32":
        return {}
    del stored
    mx.eval(list(widened.values()))
    return widened
