"""From a spec to a model in memory: the folder, the weights' precision, the tokenizer. Runs on the MLX thread."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm import utils as mlx_utils
from mlx_lm.utils import dequantize_model, load_model, quantize_model

from providers.engines.convert.gguf import GGUFError, convert_cached
from providers.engines.cpu.attention import use_fast_exponentials
from providers.engines.cpu.weight_layout import lay_out_for_blas
from providers.engines.language.adapters import apply_adapters
from providers.engines.process import platform
from providers.engines.process.engine import EngineLoadError, Progress
from providers.spec import ModelSpec
from providers.weights import WeightsError, resolve

__all__ = [
    "LoadedModel",
    "cast_weights",
    "check_folder",
    "choose_dtype",
    "convert_weights",
    "dtype_in_words",
    "find_folder",
    "load_language_model",
    "mlx_device",
    "model_context",
    "quantize_weights",
    "usable_vocabulary",
    "widen_weights",
]

logger = logging.getLogger(__name__)

_mlx_lm: Any = mlx_utils  # partly annotated
QUANTIZE_BITS = (2, 3, 4, 5, 6, 8)
WORKING_BYTES = 1 << 30
"""Memory left for activations and caches when weights are widened."""
_DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}


@attrs.frozen(kw_only=True)
class LoadedModel:
    """A model ready to run, and what its folder says of itself."""

    folder: Path
    model: Any
    tokenizer: Any
    """mlx-lm's `TokenizerWrapper`."""
    config: dict[str, Any]
    generation_defaults: Mapping[str, Any]
    dtype: str
    """In words: the floating-point type, and the quantisation where there is one."""
    dtype_reason: str
    weight_bytes: int


def load_language_model(spec: ModelSpec, device: str, progress: Progress) -> LoadedModel:
    """Load `spec.path`, an MLX model folder, in the precision the spec and the device ask for.

    Raises:
        EngineLoadError: the folder or what is in it cannot be used; the message says what and why.
    """
    if spec.quantize is not None and spec.quantize not in QUANTIZE_BITS:
        allowed = ", ".join(str(bits) for bits in QUANTIZE_BITS)
        raise EngineLoadError(f"quantize: {spec.quantize} bits are not supported; choose one of {allowed}")
    progress("finding the model", None)
    folder = find_folder(spec.path, progress)
    check_folder(folder)
    progress("loading weights", None)
    model, config = _load_weights(folder, spec)
    dtype_reason = widen_weights(model, spec, device, progress)
    if spec.lora_paths:
        progress("applying adapters", None)
        apply_adapters(model, spec.lora_paths, spec.lora_scales)
    quantize_weights(model, config, spec)
    mx.eval(model.parameters())
    lay_out_for_blas(model, device)
    use_fast_exponentials(model, device)
    progress("loading the tokenizer", None)
    tokenizer = _load_tokenizer(folder, config, spec)
    return LoadedModel(
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        config=config,
        generation_defaults=_read_generation_defaults(folder),
        dtype=dtype_in_words(model),
        dtype_reason=dtype_reason,
        weight_bytes=sum(array.nbytes for array in _arrays(model)),
    )


def model_context(config: Mapping[str, Any]) -> int | None:
    """The model's own limit in tokens, under the names that configs use; None where they tell none."""
    text = config.get("text_config")
    for part in (config, text if isinstance(text, Mapping) else {}):
        for name in ("max_position_embeddings", "max_seq_len", "n_positions", "seq_length"):
            value = part.get(name)
            if isinstance(value, int) and value > 0:
                return value
    return None


def usable_vocabulary(loaded: LoadedModel) -> int:
    """Ids that both the tokenizer knows and the logits have: either may be the wider."""
    tokens: int = max(loaded.tokenizer.get_vocab().values(), default=0) + 1
    text = loaded.config.get("text_config")
    for part in (loaded.config, text if isinstance(text, Mapping) else {}):
        width = part.get("vocab_size")
        if isinstance(width, int):
            return min(tokens, width)
    return tokens


def mlx_device() -> str:
    """What MLX computes on here: `cpu`, `metal` or `cuda`."""
    if mx.default_device() == mx.cpu:
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def find_folder(path: str, progress: Progress) -> Path:
    """The local folder of a model: resolved from a hub id, or converted from a GGUF file, where it is not one yet."""
    try:
        local = resolve(path, progress)
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


def _load_weights(folder: Path, spec: ModelSpec) -> tuple[Any, dict[str, Any]]:
    try:
        return load_model(folder, lazy=True, trust_remote_code=spec.trust_remote_code)
    except KeyError as error:
        raise EngineLoadError(f"{folder / 'config.json'}: {error} is missing") from error
    except json.JSONDecodeError as error:
        raise EngineLoadError(f"{folder / 'config.json'}: not valid JSON ({error})") from error
    except Exception as error:
        raise EngineLoadError(f"{folder}: the model cannot be loaded: {error}") from error


def _load_tokenizer(folder: Path, config: Mapping[str, Any], spec: ModelSpec) -> Any:
    options = {"trust_remote_code": True} if spec.trust_remote_code else None
    try:
        return _mlx_lm.load_tokenizer(folder, options, eos_token_ids=config.get("eos_token_id"))
    except Exception as error:
        raise EngineLoadError(f"{folder}: the tokenizer cannot be loaded: {error}") from error


def _read_generation_defaults(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "generation_config.json").read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def convert_weights(model: Any, config: dict[str, Any], spec: ModelSpec, device: str, progress: Progress) -> str:
    """Bring the weights to the spec's precision, lazily. Returns the reason for the choice."""
    reason = widen_weights(model, spec, device, progress)
    quantize_weights(model, config, spec)
    return reason


def widen_weights(model: Any, spec: ModelSpec, device: str, progress: Progress) -> str:
    """Bring the weights to the floating-point type that is to be computed in, lazily; what is to be quantised anew
    becomes floating-point too. Returns the reason for the choice."""
    quantized = any(hasattr(module, "bits") for _, module in model.named_modules())
    target, reason = choose_dtype(model, spec, device)
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
    """Quantise as the spec asks, lazily.

    Raises:
        EngineLoadError: no layer can be.
    """
    if spec.quantize is None:
        return
    # mlx-lm prints a line about it.
    with contextlib.redirect_stdout(sys.stderr):
        plain = {key: value for key, value in config.items() if not key.startswith("quantization")}
        for group_size in (64, 32):
            quantize_model(model, plain, group_size, spec.quantize)
            if any(hasattr(module, "bits") for _, module in model.named_modules()):
                return
    raise EngineLoadError(f"quantize: no layer of this model can be quantised to {spec.quantize} bits")


def choose_dtype(model: Any, spec: ModelSpec, device: str) -> tuple[str | None, str]:
    """The floating-point type to convert to (None: keep), and why."""
    if spec.dtype != "auto":
        return spec.dtype, f"{spec.dtype}, as asked"
    if device != "cpu" or not sys.platform.startswith("linux"):
        return None, "kept as shipped"
    if spec.quantize is not None:
        return "float32", f"float32 before quantising to {spec.quantize} bits"
    needed = int(_mlx_lm.get_total_parameters(model)) * 4
    available = platform.available_memory()
    if spec.memory_limit is not None:
        available = min(available, spec.memory_limit)
    figures = f"{needed / 1e9:.1f} GB of {available / 1e9:.1f} GB"
    if needed + WORKING_BYTES > available:
        return None, f"kept as shipped: float32, the fast choice on this CPU, would take {figures}"
    return "float32", f"float32, the fast choice on this CPU ({figures})"


def cast_weights(model: Any, dtype: mx.Dtype) -> None:
    model.apply(lambda array: array.astype(dtype) if mx.issubdtype(array.dtype, mx.floating) else array)


def _arrays(model: Any) -> list[mx.array]:
    flat: list[tuple[str, mx.array]] = tree_flatten(model.parameters())  # type: ignore[assignment]
    return [array for _, array in flat]


def dtype_in_words(model: Any) -> str:
    """The type most bytes of floating-point weights have, and the bits most layers are quantised to."""
    sizes: dict[str, int] = {}
    for array in _arrays(model):
        if mx.issubdtype(array.dtype, mx.floating):
            name = str(array.dtype).removeprefix("mlx.core.")
            sizes[name] = sizes.get(name, 0) + array.nbytes
    floating = max(sizes, key=lambda name: sizes[name], default="-")
    bits = [int(module.bits) for _, module in model.named_modules() if hasattr(module, "bits")]
    return f"{floating}, quantised to {max(set(bits), key=bits.count)} bits" if bits else floating
