"""From a spec to a Whisper in memory. Runs on the MLX thread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.embedding import Embedding
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.quantized import quantize
from mlx.utils import tree_flatten, tree_unflatten
from mlx_audio.stt.models.whisper.whisper import Model, ModelDimensions
from mlx_lm.utils import dequantize_model

from providers.engines.cpu.whisper import use_fast_softmax
from providers.engines.process.engine import EngineLoadError, Progress
from providers.engines.process.weights import cast_weights, chosen_dtype, dtype_in_words
from providers.engines.transcription.tokenizer import Task, Tokenizer, get_tokenizer
from providers.spec import ModelSpec
from providers.weights import WeightsError, resolve

__all__ = ["LoadedWhisper", "Whisper", "load_whisper"]

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


class Whisper(Model):  # type: ignore[misc]
    """mlx-audio's model with the tokens of OpenAI's vocabularies."""

    def get_tokenizer(self, language: str | None = None, task: Task | None = None) -> Tokenizer:
        """The tokenizer for the decoder, which calls this method."""
        return get_tokenizer(self.is_multilingual, num_languages=self.num_languages, language=language, task=task)


def load_whisper(spec: ModelSpec, device: str, progress: Progress) -> LoadedWhisper:
    """Load `spec.path`, a folder in mlx-whisper's format, in the precision for the spec and the device.

    Raises:
        EngineLoadError: the folder or its content cannot be used; the message says what and why.
    """
    if spec.quantize is not None:
        raise EngineLoadError("quantize: Whisper cannot be quantised at load; choose a folder with quantised weights")
    if spec.dtype == "bfloat16":
        raise EngineLoadError("dtype: Whisper computes in float32 or float16, not in bfloat16")
    progress("finding the model", None)
    try:
        folder = resolve(spec.path, progress)
    except WeightsError as error:
        raise EngineLoadError(str(error)) from error
    progress("loading weights", None)
    model = _load(folder)
    target, reason = chosen_dtype(model, spec, device)
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


def _load(folder: Path) -> Any:
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise EngineLoadError(
            f"{folder}: not a Whisper folder of mlx-whisper's format (no {' or '.join(_WEIGHTS)}); "
            "conversions are at mlx-community, e.g. mlx-community/whisper-large-v3-turbo"
        )
    try:
        return _built(json.loads((folder / "config.json").read_text(encoding="utf-8")), weights)
    except json.JSONDecodeError as error:
        raise EngineLoadError(f"{folder / 'config.json'}: not valid JSON ({error})") from error
    except TypeError as error:
        raise EngineLoadError(f"{folder / 'config.json'}: not a Whisper of mlx-whisper's format: {error}") from error
    except EngineLoadError:
        raise
    except Exception as error:
        raise EngineLoadError(f"{folder}: the model cannot be loaded: {error}") from error


def _built(config: dict[str, Any], file: Path) -> Model:
    quantization = config.pop("quantization", None)
    config.pop("model_type", None)
    model = Whisper(ModelDimensions(**config), mx.float16)
    weights: dict[str, mx.array] = mx.load(str(file))  # type: ignore[assignment]
    if (heads := weights.pop("alignment_heads", None)) is not None:
        model.set_alignment_heads(heads.tolist())
    if quantization is not None:

        def is_quantized(path: str, module: Module) -> bool:
            return isinstance(module, (Linear, Embedding)) and f"{path}.scales" in weights

        quantize(model, **quantization, class_predicate=is_quantized)
    named: list[tuple[str, mx.array]] = tree_flatten(model.parameters())  # type: ignore[assignment]
    # `update` leaves weights that the file lacks at their random values.
    if missing := {name for name, _ in named} - weights.keys():
        raise EngineLoadError(f"{file}: {len(missing)} weights are missing, {min(missing)} among them")
    model.update(tree_unflatten(list(weights.items())))
    mx.eval(model.parameters())
    return model


def _match_constants(model: Any, dtype: mx.Dtype) -> None:
    """Convert the arrays that are computed and not loaded: their own type would change that of every activation."""
    model.encoder._positional_embedding = model.encoder._positional_embedding.astype(dtype)
    model.decoder._mask = model.decoder._mask.astype(dtype)
