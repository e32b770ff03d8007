"""From a spec to a model in memory: the folder, the weights' precision, the tokenizer. Runs on the MLX thread."""

from __future__ import annotations

import functools
import json
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
from mlx_lm import utils as mlx_utils
from mlx_lm.utils import load_model

from providers.engines.cpu import ahead
from providers.engines.cpu.attention import use_fast_exponentials
from providers.engines.cpu.one_sequence import compute_rows_in_numpy
from providers.engines.cpu.weight_layout import lay_out_for_blas
from providers.engines.decode.step import prepare_decode_step
from providers.engines.group.ranks import ALONE, Ranks
from providers.engines.group.sharding import check, divide
from providers.engines.language.adapters import apply_adapters
from providers.engines.process.base import Loaded
from providers.engines.process.engine import EngineLoadError, Progress
from providers.engines.process.weights import (
    check_folder,
    dtype_in_words,
    find_folder,
    quantize_weights,
    weight_bytes,
    widen_weights,
)
from providers.engines.sampling.settings import resolve
from providers.engines.vision.intake import PictureIntake
from providers.spec import ModelSpec

__all__ = [
    "LoadedModel",
    "find_model",
    "load_language_model",
    "load_tokenizer",
    "read_generation_defaults",
    "reported",
    "usable_vocabulary",
    "vocabulary_kept",
]

_mlx_lm: Any = mlx_utils  # partly annotated
QUANTIZE_BITS = (2, 3, 4, 5, 6, 8)


@attrs.frozen(kw_only=True)
class LoadedModel:
    """A model ready to run, and the facts from its folder."""

    folder: Path
    model: Any
    tokenizer: Any
    """mlx-lm's `TokenizerWrapper`."""
    config: dict[str, Any]
    generation_defaults: Mapping[str, Any]
    dtype: str
    """In words: the floating-point type, and the quantisation if there is one."""
    dtype_reason: str
    weight_bytes: int
    pictures: PictureIntake | None = None
    """None: the model reads no pictures."""


def load_language_model(spec: ModelSpec, device: str, progress: Progress, ranks: Ranks = ALONE) -> LoadedModel:
    """Load `spec.path`, an MLX model folder, in the precision for the spec and the device: this rank's part of it.

    Raises:
        EngineLoadError: the folder or its content cannot be used; the message says what and why.
    """
    folder = find_model(spec, progress)
    check(folder, spec, ranks)
    progress("loading weights", None)
    model, config = _load_weights(folder, spec)
    with ThreadPoolExecutor(1, thread_name_prefix="tokenizer") as beside:
        reading = beside.submit(load_tokenizer, folder, config.get("eos_token_id"), spec)
        widened = ahead.take(folder)
        quantised = ahead.names_of_quantised(model, folder) if widened else set()
        dtype_reason = widen_weights(model, spec, device, progress, ranks)
        laid_out = ahead.adopt(model, widened, quantised)
        if spec.lora_paths:
            progress("applying adapters", None)
            apply_adapters(model, spec.lora_paths, spec.lora_scales)
        quantize_weights(model, config, spec)
        if ranks.size > 1:
            progress("loading this rank's part of the weights", None)
            divide(model, config, spec, ranks)
            mx.eval(model.parameters())
            # Our own step was not measured on several GPUs yet.
            prepare_decode_step(model, device, "mlx-lm" if spec.decode_step == "auto" else spec.decode_step)
        else:
            lay_out_for_blas(model, device, laid_out)
            mx.eval(model.parameters())
            use_fast_exponentials(model, device)
            prepare_decode_step(model, device, spec.decode_step)
            compute_rows_in_numpy(model, device)
        progress("loading the tokenizer", None)
        tokenizer = reading.result()
    return LoadedModel(
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        config=config,
        generation_defaults=read_generation_defaults(folder),
        dtype=dtype_in_words(model),
        dtype_reason=dtype_reason,
        weight_bytes=weight_bytes(model),
    )


def find_model(spec: ModelSpec, progress: Progress) -> Path:
    """The folder of a language model's weights.

    Raises:
        EngineLoadError: there is none, or the spec asks for an impossible quantisation.
    """
    if spec.quantize is not None and spec.quantize not in QUANTIZE_BITS:
        allowed = ", ".join(str(bits) for bits in QUANTIZE_BITS)
        raise EngineLoadError(f"quantize: {spec.quantize} bits are not supported; choose one of {allowed}")
    progress("finding the model", None)
    folder = find_folder(spec.path, progress)
    check_folder(folder)
    return folder


@contextmanager
def vocabulary_kept(tokenizer: Any) -> Generator[None]:
    """Keep the tokenizer's vocabulary while the block runs, which reads it several times: 150,000 tokens take 55 ms."""
    make = tokenizer.get_vocab
    tokenizer.get_vocab = functools.cache(make)
    try:
        yield
    finally:
        tokenizer.get_vocab = make


def usable_vocabulary(loaded: LoadedModel) -> int:
    """Count of ids that both the tokenizer and the logits have: either may have more."""
    tokens: int = max(loaded.tokenizer.get_vocab().values(), default=0) + 1
    text = loaded.config.get("text_config")
    for part in (loaded.config, text if isinstance(text, Mapping) else {}):
        width = part.get("vocab_size")
        if isinstance(width, int):
            return min(tokens, width)
    return tokens


def _load_weights(folder: Path, spec: ModelSpec) -> tuple[Any, dict[str, Any]]:
    try:
        return load_model(folder, lazy=True, trust_remote_code=spec.trust_remote_code)
    except KeyError as error:
        raise EngineLoadError(f"{folder / 'config.json'}: {error} is missing") from error
    except json.JSONDecodeError as error:
        raise EngineLoadError(f"{folder / 'config.json'}: not valid JSON ({error})") from error
    except Exception as error:
        raise EngineLoadError(f"{folder}: the model cannot be loaded: {error}") from error


def load_tokenizer(folder: Path, ends: Any, spec: ModelSpec, *, chat_template: str | None = None) -> Any:
    """The tokenizer of a folder.

    `ends`: the ids that end an answer, in the form of config.json. `chat_template`: instead of the tokenizer's own,
    unless the spec has one.
    """
    # Without a value, transformers asks on the terminal whether to run the code.
    options: dict[str, Any] = {"trust_remote_code": spec.trust_remote_code}
    template = chat_template if spec.chat_template is None else spec.chat_template
    if template is not None:
        options["chat_template"] = template
    try:
        return _mlx_lm.load_tokenizer(folder, options, eos_token_ids=ends)
    except Exception as error:
        raise EngineLoadError(f"{folder}: the tokenizer cannot be loaded: {error}") from error


def read_generation_defaults(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "generation_config.json").read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def reported(loaded: LoadedModel, spec: ModelSpec, *, limit: int, vocabulary: int, prefix_cache: int) -> Loaded:
    """What the engine reports of a model. `limit`: tokens of its context; `prefix_cache`: bytes."""
    settings = resolve(spec.sampling, loaded.generation_defaults, vocabulary=vocabulary)
    return Loaded(
        model_type=str(loaded.config.get("model_type")),
        dtype=loaded.dtype,
        context_length=limit,
        details={
            "adapters": [Path(path).name for path in spec.lora_paths],
            "dtype_reason": loaded.dtype_reason,
            "prefix_cache_bytes": prefix_cache,
            "sampling": {"temperature": settings.temperature, "top_p": settings.top_p},
            "vocabulary": vocabulary,
        },
    )
