"""From a spec to a Whisper in memory. Runs on the MLX thread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import dequantize_model
from mlx_whisper.load_models import load_model
from mlx_whisper.whisper import Whisper

from providers.engines.cpu.whisper import use_fast_softmax
from providers.engines.process.engine import EngineLoadError, Progress
from providers.engines.process.weights import cast_weights, choose_dtype, dtype_in_words
from providers.spec import ModelSpec
from providers.weights import WeightsError, resolve

__all__ = ["LoadedWhisper", "load_whisper"]

_WEIGHTS = ("weights.safetensors", "weights.npz")
_DTYPES = {"float32": mx.float32, "float16": mx.float16}


@attrs.frozen(kw_only=True)
class LoadedWhisper:
    """A model ready to run."""

    model: Any
    half: bool
    """Whether it computes in float16."""
    dtype: str
    dtype_reason: str


def load_whisper(spec: ModelSpec, device: str, progress: Progress) -> LoadedWhisper:
    """Load `spec.path`, a folder as `mlx_whisper` writes them, in the precision the spec and the device ask for.

    Raises:
        EngineLoadError: the folder or what is in it cannot be used; the message says what and why.
    """
    if spec.quantize is not None:
        raise EngineLoadError("quantize: Whisper is not quantised at load; name a folder that is, or leave it out")
    if spec.dtype == "bfloat16":
        raise EngineLoadError("dtype: Whisper computes in float32 or float16, not in bfloat16")
    progress("finding the model", None)
    try:
        folder = resolve(spec.path, progress)
    except WeightsError as error:
        raise EngineLoadError(str(error)) from error
    progress("loading weights", None)
    model = _load(folder)
    target, reason = choose_dtype(model, spec, device)
    if target is not None:
        progress(f"converting weights to {target}", None)
        cast_weights(model, _DTYPES[target])
        dequantize_model(model)
        cast_weights(model, _DTYPES[target])
    half = model.decoder.positional_embedding.dtype == mx.float16
    _match_constants(model, mx.float16 if half else mx.float32)
    mx.eval(model.parameters())
    if device == "cpu" and not half:
        use_fast_softmax(model)
    return LoadedWhisper(model=model, half=half, dtype=dtype_in_words(model), dtype_reason=reason)


def _load(folder: Path) -> Whisper:
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise EngineLoadError(
            f"{folder}: not a Whisper folder of mlx-whisper (no {' or '.join(_WEIGHTS)}); "
            "conversions are at mlx-community, e.g. mlx-community/whisper-large-v3-turbo"
        )
    try:
        model = load_model(str(folder), dtype=mx.float16)
        given = set(mx.load(str(weights)))
    except json.JSONDecodeError as error:
        raise EngineLoadError(f"{folder / 'config.json'}: not valid JSON ({error})") from error
    except TypeError as error:
        raise EngineLoadError(f"{folder / 'config.json'}: not a Whisper of mlx-whisper: {error}") from error
    except Exception as error:
        raise EngineLoadError(f"{folder}: the model cannot be loaded: {error}") from error
    # mlx-whisper leaves at random what the file lacks.
    named: list[tuple[str, mx.array]] = tree_flatten(model.parameters())  # type: ignore[assignment]
    missing = {name for name, _ in named} - given - {"alignment_heads"}
    if missing:
        raise EngineLoadError(f"{weights}: {len(missing)} weights are missing, {min(missing)} among them")
    return model


def _match_constants(model: Any, dtype: mx.Dtype) -> None:
    """What is computed and not loaded has a type of its own, and would widen or narrow every activation."""
    model.encoder._positional_embedding = model.encoder._positional_embedding.astype(dtype)
    model.decoder._mask = model.decoder._mask.astype(dtype)
