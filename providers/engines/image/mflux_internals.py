"""What this project uses of mflux beyond its classes: names that its next release may move."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import mlx.core as mx
from mflux.cli.defaults.defaults import DEFAULT_INFERENCE_STEPS, MODEL_INFERENCE_STEPS
from mflux.models.common.config import config as config_module
from mflux.models.common.config import model_config as model_config_module
from mflux.models.flux2 import flux2_initializer
from mflux.models.flux2.model.flux2_transformer.transformer import Flux2Transformer
from mflux.models.flux2.model.flux2_vae import vae as flux2_vae

__all__ = ["default_steps", "folder_config", "folder_vae", "pixels_of", "quiet", "use_precision"]

_configs: dict[str, Any] = model_config_module.AVAILABLE_MODELS


def quiet() -> None:
    """Draw no bars for steps."""
    config_module.tqdm = partial(config_module.tqdm, disable=True)


def use_precision(dtype: mx.Dtype) -> None:
    """Load and compute in this type from now on."""
    model_config_module.ModelConfig.precision = dtype


def default_steps(config: str) -> int:
    return int(MODEL_INFERENCE_STEPS.get(config, DEFAULT_INFERENCE_STEPS))


def folder_config(config: str, folder: Path) -> Any:
    """mflux's `ModelConfig`, with the shapes that the folder's own files have.

    mflux takes shapes from its table. A folder in the layout of diffusers describes them, as one with weights of
    another size must.
    """
    known = _configs[config]
    parts = {
        "transformer_overrides": _described(folder / "transformer", Flux2Transformer),
        "text_encoder_overrides": _described(folder / "text_encoder", flux2_initializer.Qwen3TextEncoder),
    }
    if not config.startswith("flux2-") or not any(parts.values()):
        return known
    changed = {name: {**getattr(known, name), **found} for name, found in parts.items()}
    return model_config_module.ModelConfig(**{**vars(known), **changed})


@contextlib.contextmanager
def folder_vae(folder: Path) -> Iterator[None]:
    """Make the VAEs of FLUX.2 that are loaded meanwhile as wide as the folder's `vae/config.json` describes."""
    channels = tuple(_json(folder / "vae").get("block_out_channels") or ())
    vae, encoder = flux2_initializer.Flux2VAE, flux2_vae.Flux2Encoder
    if not channels:
        yield
        return

    def narrow() -> Any:
        flux2_vae.Flux2Encoder = partial(encoder, block_out_channels=channels)
        try:
            return vae(decoder_block_out_channels=channels)
        finally:
            flux2_vae.Flux2Encoder = encoder

    flux2_initializer.Flux2VAE = narrow
    try:
        yield
    finally:
        flux2_initializer.Flux2VAE = vae


def pixels_of(model: Any, latent_creator: Any, latents: mx.array, width: int, height: int) -> Any:
    """The image, PIL's, that latents between two steps decode to; as mflux's `StepwiseHandler` does it."""
    from mflux.utils.image_util import ImageUtil

    unpacked = latent_creator.unpack_latents(latents=latents, height=height, width=width)
    vae = model.vae
    if hasattr(vae, "decode_packed_latents") and unpacked.shape[1] > getattr(vae, "latent_channels", 32):
        decoded = vae.decode_packed_latents(unpacked)
    else:
        decoded = vae.decode(unpacked)
    return ImageUtil.to_pil(decoded)


def _described(folder: Path, made: Any) -> dict[str, Any]:
    """The arguments of a class that a folder's `config.json` has."""
    taken = signature(made).parameters
    return {name: value for name, value in _json(folder).items() if name in taken and value is not None}


def _json(folder: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
