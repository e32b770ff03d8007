"""Image models that can be served: one row per configuration of mflux.

Classes are named by import strings: only an engine process imports mflux. Configurations that need other inputs than
images and a text (control images, depth maps, several parts of a picture) have no row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import attrs

__all__ = ["CONFIG_NAMES", "IMAGE_MODELS", "ImageModel", "config_in"]


@attrs.frozen(kw_only=True)
class ImageModel:
    """A configuration of mflux."""

    config: str
    """Its key in mflux's table."""
    names: tuple[str, ...] = ()
    """Further values of `--config-name`."""
    generator: str | None = None
    """Import string, `module:Class`, of what turns a text into an image."""
    editor: str | None = None
    """Import string of what changes images."""
    latents: str
    """Import string of what lays out latents for the VAE."""
    weights: str
    """Import string of the list of files that the model needs."""
    guidance: float | None = None
    """Default; None: the class's own."""

    def painter(self, model_type: str) -> str | None:
        """Import string of the class for a model type; None: the configuration is not for it."""
        return self.editor if model_type == "image-edit" else self.generator


@attrs.frozen
class _Family:
    """Configurations that share a folder of mflux."""

    latents: str
    weights: str

    def model(self, config: str, *names: str, generator: str | None = None, editor: str | None = None) -> ImageModel:
        return ImageModel(
            config=config, names=names, generator=generator, editor=editor, latents=self.latents, weights=self.weights
        )


_MODELS = "mflux.models"
_FLUX = _Family(
    f"{_MODELS}.flux.latent_creator.flux_latent_creator:FluxLatentCreator",
    f"{_MODELS}.flux.weights.flux_weight_definition:FluxWeightDefinition",
)
_FLUX2 = _Family(
    f"{_MODELS}.flux2.latent_creator.flux2_latent_creator:Flux2LatentCreator",
    f"{_MODELS}.flux2.weights.flux2_weight_definition:Flux2KleinWeightDefinition",
)
_Z_IMAGE = _Family(
    f"{_MODELS}.z_image.latent_creator.z_image_latent_creator:ZImageLatentCreator",
    f"{_MODELS}.z_image.weights.z_image_weight_definition:ZImageWeightDefinition",
)
_QWEN = _Family(
    f"{_MODELS}.qwen.latent_creator.qwen_latent_creator:QwenLatentCreator",
    f"{_MODELS}.qwen.weights.qwen_weight_definition:QwenWeightDefinition",
)
_QWEN21 = _Family(
    f"{_MODELS}.qwen21.latent_creator.qwen21_latent_creator:Qwen21LatentCreator",
    f"{_MODELS}.qwen21.weights.qwen21_weight_definition:Qwen21WeightDefinition",
)
_FIBO = _Family(
    f"{_MODELS}.fibo.latent_creator.fibo_latent_creator:FiboLatentCreator",
    f"{_MODELS}.fibo.weights.fibo_weight_definition:FIBOWeightDefinition",
)
_KREA2 = _Family(
    f"{_MODELS}.krea2.latent_creator.krea2_latent_creator:Krea2LatentCreator",
    f"{_MODELS}.krea2.weights.krea2_weight_definition:Krea2WeightDefinition",
)
_ERNIE = _Family(
    f"{_MODELS}.ernie_image.latent_creator.ernie_latent_creator:ErnieLatentCreator",
    f"{_MODELS}.ernie_image.weights.ernie_weight_definition:ErnieWeightDefinition",
)

_FLUX1 = f"{_MODELS}.flux.variants.txt2img.flux:Flux1"
_KLEIN = f"{_MODELS}.flux2.variants.txt2img.flux2_klein:Flux2Klein"
_KLEIN_EDIT = f"{_MODELS}.flux2.variants.edit.flux2_klein_edit:Flux2KleinEdit"
_Z = f"{_MODELS}.z_image.variants.z_image:ZImage"
_QWEN_IMAGE = f"{_MODELS}.qwen.variants.txt2img.qwen_image:QwenImage"
_QWEN_EDIT = f"{_MODELS}.qwen.variants.edit.qwen_image_edit:QwenImageEdit"
_QWEN21_IMAGE = f"{_MODELS}.qwen21.variants.txt2img.qwen_image_21:QwenImage21"
_FIBO_IMAGE = f"{_MODELS}.fibo.variants.txt2img.fibo:FIBO"
_KREA = f"{_MODELS}.krea2.variants.txt2img.krea2:Krea2"
_ERNIE_IMAGE = f"{_MODELS}.ernie_image.variants.txt2img.ernie_image:ErnieImage"


def _rows() -> Iterable[ImageModel]:
    yield _FLUX.model("schnell", "flux-schnell", "flux1-schnell", generator=_FLUX1)
    yield attrs.evolve(_FLUX.model("dev", "flux-dev", "flux1-dev", generator=_FLUX1), guidance=3.5)
    krea = _FLUX.model("krea-dev", "dev-krea", "flux-krea-dev", "flux1-krea-dev", generator=_FLUX1)
    yield attrs.evolve(krea, guidance=3.5)
    kontext = f"{_MODELS}.flux.variants.kontext.flux_kontext:Flux1Kontext"
    names: tuple[str, ...] = ("kontext-dev", "kontext", "flux-kontext-dev", "flux1-kontext-dev")
    yield attrs.evolve(_FLUX.model("dev-kontext", *names, editor=kontext), guidance=2.5)
    fill = f"{_MODELS}.flux.variants.fill.flux_fill:Flux1Fill"
    names = ("fill-dev", "fill", "flux-fill-dev", "flux1-fill-dev")
    yield attrs.evolve(_FLUX.model("dev-fill", *names, editor=fill), guidance=30.0)
    for size in ("4b", "9b", "9b-kv", "base-4b", "base-9b"):
        names = ("flux2-klein",) if size == "4b" else ()
        extra = (f"flux2-klein-edit-{size}", f"klein-{size}", f"flux.2-klein-{size}")
        yield _FLUX2.model(f"flux2-klein-{size}", *names, *extra, generator=_KLEIN, editor=_KLEIN_EDIT)
    yield _Z_IMAGE.model("z-image", generator=_Z)
    yield _Z_IMAGE.model("z-image-turbo", generator=_Z)
    yield _QWEN.model("qwen-image", "qwen-image-2512", generator=_QWEN_IMAGE)
    yield _QWEN.model("qwen-image-edit", "qwen-image-edit-2509", editor=_QWEN_EDIT)
    yield _QWEN.model("qwen-image-edit-2511", editor=_QWEN_EDIT)
    yield _QWEN21.model("qwen-image-2.1", generator=_QWEN21_IMAGE)
    yield _QWEN21.model("qwen-image-2.1-turbo", generator=_QWEN21_IMAGE)
    yield _FIBO.model("fibo", generator=_FIBO_IMAGE)
    yield _FIBO.model("fibo-lite", generator=_FIBO_IMAGE)
    yield _FIBO.model("fibo-edit", editor=f"{_MODELS}.fibo.variants.edit.fibo_edit:FIBOEdit")
    yield _KREA2.model("krea-2", "krea-2-turbo", generator=_KREA)
    yield _KREA2.model("krea-2-raw", generator=_KREA)
    yield _ERNIE.model("ernie-image", generator=_ERNIE_IMAGE)
    yield _ERNIE.model("ernie-image-turbo", generator=_ERNIE_IMAGE)


IMAGE_MODELS: Mapping[str, ImageModel] = {row.config: row for row in _rows()}
"""By mflux's key."""

CONFIG_NAMES: Mapping[str, str] = {
    name: row.config for row in IMAGE_MODELS.values() for name in (row.config, *row.names)
}
"""mflux's key by each value of `--config-name`."""


def config_in(path: str) -> str | None:
    """The configuration that the last part of a path or hub id names; None if it names none.

    The longest name wins: `FLUX.2-klein-base-4B-mflux-8bit` is `flux2-klein-base-4b`, not `flux2-klein-4b`.
    """
    last = _plain(path.rstrip("/").rsplit("/", 1)[-1])
    found = [name for name in CONFIG_NAMES if re.search(rf"(?<![a-z0-9]){re.escape(_plain(name))}(?![a-z0-9])", last)]
    return CONFIG_NAMES[max(found, key=len)] if found else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace("flux.", "flux")
