"""Loading of an mflux model: its configuration, the files, the precision, and adapters."""

from __future__ import annotations

import contextlib
import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx

from providers.capabilities import load
from providers.engines.image import mflux_internals
from providers.engines.image.intake import Defaults, ImageIntake
from providers.engines.process.engine import EngineLoadError, Progress
from providers.engines.process.weights import find_folder
from providers.image.models import CONFIG_NAMES, IMAGE_MODELS, ImageModel, config_in
from providers.memory.estimate import parameter_count
from providers.memory.precision import choose_dtype
from providers.spec import ModelSpec

__all__ = ["LoadedImageModel", "call_parameters", "load_image_model"]

logger = logging.getLogger(__name__)

_DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}
_NO_FOLDER = (None, "", ".")
_BITS = (3, 4, 5, 6, 8)
"""Those to which mflux quantises."""


@attrs.frozen(kw_only=True, eq=False)
class LoadedImageModel:
    """A model of mflux, ready to be called."""

    config: str
    dtype: str
    model: Any
    latents: Any
    """mflux's class that lays out latents for the VAE."""
    intake: ImageIntake
    edits: bool

    def paint(self, seed: int, arguments: Mapping[str, Any]) -> Any:
        """mflux's blocking call."""
        return self.model.generate_image(seed=seed, **arguments)

    def forget_prompts(self) -> None:
        """Drop the encodings that mflux keeps for every prompt it has seen."""
        cache = getattr(self.model, "prompt_cache", None)
        if cache:
            cache.clear()


def load_image_model(spec: ModelSpec, device: str, progress: Progress) -> LoadedImageModel:
    """Load the model that a spec describes.

    Raises:
        EngineLoadError: it cannot be loaded; the message says what and why.
    """
    row = _row(spec)
    painter = row.painter(spec.model_type)
    if painter is None:
        other = "image-edit" if spec.model_type == "image-generation" else "image-generation"
        raise EngineLoadError(f"{row.config} is not for --model-type {spec.model_type}; use --model-type {other}")
    if spec.quantize is not None and spec.quantize not in _BITS:
        raise EngineLoadError(f"quantize: image models can be quantised to {_BITS} bits, not {spec.quantize}")
    progress("finding the model", None)
    definition = load(row.weights)
    folder = find_folder(spec.path, progress, patterns=_patterns(definition))
    _check_parts(folder, definition)
    dtype = _use_dtype(folder, spec, device)
    progress("loading weights", None)
    model = _made(load(painter), row, folder, spec)
    generate = model.generate_image
    intake = ImageIntake(
        row.config,
        call_parameters(generate),
        Defaults(
            steps=spec.image_steps or mflux_internals.default_steps(row.config),
            guidance=row.guidance if spec.image_guidance is None else spec.image_guidance,
        ),
        edits=spec.model_type == "image-edit",
        guided=model.model_config.supports_guidance is not False,
    )
    bits = getattr(model, "bits", None)
    return LoadedImageModel(
        config=row.config,
        dtype=f"{dtype}, quantised to {bits} bits" if bits else dtype,
        model=model,
        latents=load(row.latents),
        intake=intake,
        edits=spec.model_type == "image-edit",
    )


def _row(spec: ModelSpec) -> ImageModel:
    config = CONFIG_NAMES.get(spec.config_name) if spec.config_name else config_in(spec.path)
    if config is None:
        raise EngineLoadError(
            f"the name {spec.path!r} does not say which model it is; choose one with --config-name: "
            f"{', '.join(IMAGE_MODELS)}"
        )
    return IMAGE_MODELS[config]


def _patterns(definition: Any) -> list[str]:
    """The files to download: the original's, and for a part without a folder those that mflux saves."""
    found = list(definition.get_download_patterns())
    if any(part.hf_subdir in _NO_FOLDER for part in definition.get_components()):
        found += ["[0-9]*.safetensors", "model.safetensors.index.json"]
    return found


def _check_parts(folder: Path, definition: Any) -> None:
    """Raise `EngineLoadError` where a part of the model has no weights: mflux would leave it as initialised."""
    if not folder.is_dir():
        raise EngineLoadError(f"{folder}: an image model is a folder, as mflux or diffusers save it")
    parts = [part.hf_subdir for part in definition.get_components() if part.hf_subdir not in _NO_FOLDER]
    missing = [part for part in parts if not any((folder / part).glob("*.safetensors"))]
    if missing:
        raise EngineLoadError(f"{folder}: the weights of {', '.join(missing)} are missing (*.safetensors)")


def _use_dtype(folder: Path, spec: ModelSpec, device: str) -> str:
    target, reason = choose_dtype(parameter_count(folder, spec.model_type), spec, device)
    target = target or "bfloat16"  # mflux's own choice
    logger.info("weights: %s", reason)
    mflux_internals.use_precision(_DTYPES[target])
    return target


def _made(painter: Any, row: ImageModel, folder: Path, spec: ModelSpec) -> Any:
    mflux_internals.quiet()
    arguments: dict[str, Any] = {
        "model_path": str(folder),
        "model_config": mflux_internals.folder_config(row.config, folder),
        "quantize": spec.quantize,
    }
    if spec.lora_paths:
        if "lora_paths" not in inspect.signature(painter).parameters:
            raise EngineLoadError(f"lora_paths: {row.config} takes no adapters")
        arguments |= {"lora_paths": [_adapter(path) for path in spec.lora_paths]}
        arguments |= {"lora_scales": list(spec.lora_scales) or None}
    # mflux prints what it does.
    with contextlib.redirect_stdout(sys.stderr), mflux_internals.folder_vae(folder):
        try:
            model = painter(**arguments)
            mx.eval(model.parameters())
        except (ValueError, FileNotFoundError, KeyError) as error:
            raise EngineLoadError(f"{folder} cannot be loaded as {row.config}: {error}") from error
    stored = getattr(model, "bits", None)
    if spec.quantize is not None and stored != spec.quantize:
        raise EngineLoadError(f"quantize: the weights are quantised to {stored} bits already")
    return model


def _adapter(path: str) -> str:
    """The file of an adapter; mflux takes no folders."""
    if not Path(path).is_dir():
        return path
    files = sorted(Path(path).glob("*.safetensors"))
    if len(files) != 1:
        raise EngineLoadError(f"lora_paths: {path} has {len(files)} .safetensors files; name one")
    return str(files[0])


def call_parameters(function: Callable[..., Any]) -> dict[str, bool]:
    """The parameters of a call, and whether each is required."""
    return {
        name: parameter.default is inspect.Parameter.empty
        for name, parameter in inspect.signature(function).parameters.items()
    }
