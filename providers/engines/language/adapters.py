"""LoRA adapters: low-rank changes to a language model's weights, added at load with mlx-lm's own functions."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_unflatten
from mlx_lm.tuner.utils import load_adapters

from providers.engines.process.engine import EngineLoadError

__all__ = ["apply_adapters"]

_CONFIG, _WEIGHTS, _PEFT_WEIGHTS = "adapter_config.json", "adapters.safetensors", "adapter_model.safetensors"
_OLDER, _OLDER_ALPHA = {"A": "lora_a", "B": "lora_b"}, 0.1
_PEFT_PREFIX = "base_model.model."
_PEFT_UNSUPPORTED = ("use_dora", "fan_in_fan_out", "modules_to_save", "rank_pattern", "alpha_pattern", "use_qalora")
"""Settings of a PEFT adapter that change what its tensors mean. An adapter that sets one is refused."""


Names = Callable[[str], str]
"""From the name of a layer in an adapter to that in the model. Raises: ValueError, if the model has no such layer."""


def apply_adapters(model: Any, paths: Sequence[str], scales: Sequence[float], *, names: Names | None = None) -> None:
    """Add each adapter's `scale × its own scale × B·A` to the weights. `scales`: one per path, or none for 1. `names`:
    None if adapters name layers as the model does.

    The product is added to floating-point weights, so that decoding costs no more. Quantised weights would lose most of
    such a small change: the two thin matrices stay beside them and are multiplied in every step.

    Raises:
        EngineLoadError: an adapter cannot be read or is not for this model; the message names `--lora-paths`.
    """
    for path, scale in zip(paths, scales or [1.0] * len(paths), strict=True):
        if any(hasattr(module, "lora_a") for _, module in model.named_modules()):
            raise EngineLoadError(
                "--lora-paths takes one adapter if weights stay quantised; several need floating-point weights "
                "(--dtype float16, or float32 on a CPU)"
            )
        try:
            _apply(model, Path(path), scale, names)
        except Exception as error:
            raise EngineLoadError(f"--lora-paths: {path}: {_in_words(error)}") from error
    # Dropout is for training.
    model.eval()


def _apply(model: Any, folder: Path, scale: float, names: Names | None) -> None:
    config = json.loads((folder / _CONFIG).read_text())
    ours, whole = (folder / _WEIGHTS).is_file(), config.get("fine_tune_type") == "full"
    if not ours and not (folder / _PEFT_WEIGHTS).is_file():
        raise ValueError(f"it has neither {_WEIGHTS} (mlx-lm) nor {_PEFT_WEIGHTS} (PEFT)")
    _check(folder / (_WEIGHTS if ours else _PEFT_WEIGHTS))
    if ours and names is None:
        _load(model, folder, scale, whole=whole)
        return
    with tempfile.TemporaryDirectory() as converted:
        if ours:
            _rename(folder, config, Path(converted), names or str)
        else:
            _convert_peft(folder, config, Path(converted), names or str)
        _load(model, Path(converted), scale, whole=ours and whole)
        # Read the arrays before the folder is deleted.
        mx.eval(model.parameters())


def _check(file: Path) -> None:
    if not mx.load(str(file)):
        raise ValueError(f"{file.name} holds no tensors")


def _load(model: Any, folder: Path, scale: float, *, whole: bool) -> None:
    if whole and scale != 1.0:
        raise ValueError("whole weights (fine_tune_type full) replace the model's and cannot be scaled")
    load_adapters(model, str(folder))
    changed = [(name, module) for name, module in model.named_modules() if hasattr(module, "fuse")]
    if not changed and not whole:
        raise ValueError("it changes no layer of this model")
    for _, module in changed:
        module.scale *= scale
    fused = [(name, module.fuse()) for name, module in changed if not _is_quantized(module)]
    model.update_modules(tree_unflatten(fused))


def _is_quantized(module: Any) -> bool:
    base = module.embedding if "embedding" in module else module.linear
    return hasattr(base, "bits")


def _rename(folder: Path, config: dict[str, Any], into: Path, names: Names) -> None:
    """Write an adapter with other names, and mlx-vlm's older form (A, B, alpha) in mlx-lm's."""
    tensors: dict[str, mx.array] = {}
    for name, tensor in mx.load(str(folder / _WEIGHTS)).items():  # type: ignore[union-attr]
        module, _, kind = name.rpartition(".")
        tensors[f"{names(module)}.{_OLDER.get(kind, kind)}"] = tensor
    parameters = config.get("lora_parameters")
    if parameters is None:
        rank = int(config["rank"])
        parameters = {"rank": rank, "scale": float(config.get("alpha", _OLDER_ALPHA)) / rank, "dropout": 0.0}
    described = {
        "fine_tune_type": config.get("fine_tune_type", "lora"),
        "num_layers": 0,
        "lora_parameters": {**parameters, "keys": sorted({name.rpartition(".")[0] for name in tensors})},
    }
    mx.save_safetensors(str(into / _WEIGHTS), tensors)
    (into / _CONFIG).write_text(json.dumps(described))


def _convert_peft(folder: Path, config: dict[str, Any], into: Path, names: Names) -> None:
    """Write a PEFT adapter in mlx-lm's form: transposed, and with one scale instead of rank and alpha."""
    unsupported = [name for name in _PEFT_UNSUPPORTED if config.get(name)]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or unsupported:
        what = ", ".join(unsupported) or f"peft_type {config.get('peft_type')}, bias {config.get('bias')}"
        raise ValueError(
            f"this kind of PEFT adapter is not supported ({what}); fuse it with PEFT, or train with mlx-lm"
        )
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    tensors: dict[str, mx.array] = {}
    for name, tensor in mx.load(str(folder / _PEFT_WEIGHTS)).items():  # type: ignore[union-attr]
        module, _, kind = name.removeprefix(_PEFT_PREFIX).rpartition(".lora_")
        if not module or kind not in {"A.weight", "B.weight"}:
            raise ValueError(f"{name} is not lora_A or lora_B of a linear layer")
        tensors[f"{names(module)}.lora_{kind[0].lower()}"] = mx.contiguous(tensor.T)
    described = {
        "fine_tune_type": "lora",
        # 0: keys are full names of layers, from the model's root.
        "num_layers": 0,
        "lora_parameters": {
            "rank": rank,
            "scale": alpha / (math.sqrt(rank) if config.get("use_rslora") else rank),
            "dropout": 0.0,
            "keys": sorted({name.rpartition(".")[0] for name in tensors}),
        },
    }
    mx.save_safetensors(str(into / _WEIGHTS), tensors)
    (into / _CONFIG).write_text(json.dumps(described))


def _in_words(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{Path(str(error.filename)).name} is missing"
    if isinstance(error, json.JSONDecodeError):
        return f"{_CONFIG} is not valid JSON ({error})"
    if isinstance(error, KeyError | AttributeError):
        return f"{_CONFIG} does not describe a LoRA adapter: {' '.join(str(error).split())}"
    return " ".join(str(error).split())
