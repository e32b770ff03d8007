"""From a request to a job: sizes, steps, seeds, and the arguments of mflux's call."""

from __future__ import annotations

import secrets
import shutil
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import attrs

from providers.errors import InvalidRequest, UnsupportedParameter
from providers.image.types import MAX_SEED, ImageRequest, SourceImage

__all__ = ["Defaults", "ImageIntake", "ImageJob"]

_MULTIPLE = 16
"""Of which sides are: eight pixels per latent, and two latents per token."""
_LEAST_SIDE = 64
_MOST_PIXELS = 4096 * 4096
"""Bound on the pixels of an image, so that it fits a frame."""
_MOST_STEPS = 200
_STRENGTH = 0.4
"""How much of a source stays where the request does not choose, as for mflux's own command."""

_MASKS = ("masked_image_path", "mask_path", "mask_image")
"""Names that mflux's classes have for a mask."""


@attrs.frozen(kw_only=True)
class Defaults:
    """What applies where a request leaves it open."""

    steps: int
    guidance: float | None = None


class Files:
    """A folder that only this user can read, and that is deleted with the object."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="mlx-images-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


@attrs.frozen(kw_only=True, eq=False)
class ImageJob:
    """A request that passed every check."""

    request: ImageRequest
    width: int
    height: int
    steps: int
    seed: int
    arguments: Mapping[str, Any]
    """Of mflux's call, the same for all images of the request."""
    submitted: float
    """On `time.monotonic`'s clock."""
    files: Files | None = None
    """The folder of the sources, which is deleted with the job."""

    @property
    def id(self) -> str:
        return self.request.id

    @property
    def deadline(self) -> float | None:
        return None if self.request.timeout is None else self.submitted + self.request.timeout

    def previews_after(self, step: int) -> int:
        """Count of the previews that are due when this number of steps is done. The last step has none."""
        wanted = min(self.request.partial_images, self.steps - 1)
        return 0 if step >= self.steps else step * (wanted + 1) // self.steps

    def seed_of(self, index: int) -> int:
        return (self.seed + index) % (MAX_SEED + 1)


class ImageIntake:
    """Prepares requests for one model."""

    def __init__(
        self, name: str, parameters: Mapping[str, bool], defaults: Defaults, *, edits: bool, guided: bool
    ) -> None:
        """Prepare for one of mflux's calls.

        Args:
            parameters: the call's, and whether each is required.
            edits: whether the model looks at the sources, without which it makes nothing.
            guided: whether guidance has an effect.
        """
        self._name = name
        self._parameters = parameters
        self._defaults = defaults
        self._edits = edits
        self._guided = guided and "guidance" in parameters
        self._reads_several = "image_paths" in parameters
        self._continues = "image_strength" in parameters and not edits
        """Whether a source is what the image begins as."""

    @property
    def details(self) -> dict[str, Any]:
        """For the models page: what requests may contain, and what applies where they leave it open."""
        return {
            "steps": self._defaults.steps,
            "guidance": self._defaults.guidance if self._guided else None,
            "negative_prompt": "negative_prompt" in self._parameters,
            "sources": "many" if self._reads_several else "one" if self._edits or self._continues else "none",
            "mask": any(name in self._parameters for name in _MASKS),
        }

    def warmup(self, grey: SourceImage, side: int) -> ImageJob:
        """A request that runs every part of the model once."""
        sources = [grey] if self._edits else []
        mask = grey if any(self._parameters.get(name) for name in _MASKS) else None
        return self.job(
            ImageRequest(
                id="warm-up", prompt="warm up", width=side, height=side, seed=0, steps=1, sources=sources, mask=mask
            )
        )

    def job(self, request: ImageRequest) -> ImageJob:
        """Check a request and write its sources to files.

        Raises:
            InvalidRequest, UnsupportedParameter: the model cannot do it.
        """
        width, height = _side("width", request.width), _side("height", request.height)
        if width * height > _MOST_PIXELS:
            raise InvalidRequest(f"size: at most {_MOST_PIXELS} pixels, not {width}x{height}", param="size")
        steps = self._defaults.steps if request.steps is None else request.steps
        if not 1 <= steps <= _MOST_STEPS:
            raise InvalidRequest(f"steps must be from 1 to {_MOST_STEPS}, not {steps}", param="steps")
        seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
        if not 0 <= seed <= MAX_SEED:
            raise InvalidRequest(f"seed must be from 0 to {MAX_SEED}, not {seed}", param="seed")
        arguments = {"prompt": request.prompt, "num_inference_steps": steps, "width": width, "height": height}
        arguments |= self._words(request)
        files = self._sources(request, arguments)
        return ImageJob(
            request=request,
            width=width,
            height=height,
            steps=steps,
            seed=seed,
            arguments=arguments,
            submitted=time.monotonic(),
            files=files,
        )

    def _words(self, request: ImageRequest) -> dict[str, Any]:
        """The guidance and the negative prompt."""
        found: dict[str, Any] = {}
        guidance = self._defaults.guidance if request.guidance is None else request.guidance
        if request.guidance is not None and not self._guided:
            raise UnsupportedParameter(f"guidance: {self._name} was distilled to need none", param="guidance")
        if guidance is not None and self._guided:
            found["guidance"] = guidance
        if request.negative_prompt is not None:
            if "negative_prompt" not in self._parameters:
                raise UnsupportedParameter(f"negative_prompt: {self._name} takes none", param="negative_prompt")
            found["negative_prompt"] = request.negative_prompt
        return found

    def _sources(self, request: ImageRequest, arguments: dict[str, Any]) -> Files | None:
        self._check_sources(request)
        self._check_mask(request)
        if not request.sources:
            return None
        # mflux's classes read files, several of them more than once.
        files = Files()
        paths = [_written(source, files.folder / f"{at}.ppm") for at, source in enumerate(request.sources)]
        if self._reads_several:
            arguments["image_paths"] = paths
        else:
            arguments["image_path"] = paths[0]
        if self._continues:
            arguments["image_strength"] = _STRENGTH if request.strength is None else request.strength
        if request.mask is not None:
            name = next(name for name in _MASKS if name in self._parameters)
            arguments[name] = _written(request.mask, files.folder / "mask.ppm")
        return files

    def _check_sources(self, request: ImageRequest) -> None:
        count = len(request.sources)
        if not count and self._edits:
            raise InvalidRequest(f"image: {self._name} edits images; send one", param="image")
        if count and not self._edits and not self._continues:
            raise UnsupportedParameter(f"image: {self._name} only makes images from text", param="image")
        if count > 1 and not self._reads_several:
            raise UnsupportedParameter(f"image: {self._name} takes one image, not {count}", param="image")
        if request.strength is not None and not (count and self._continues):
            raise UnsupportedParameter(f"strength: {self._name} begins no image with another one", param="strength")
        if request.strength is not None and not 0.0 <= request.strength <= 1.0:
            raise InvalidRequest("strength must be from 0 to 1", param="strength")

    def _check_mask(self, request: ImageRequest) -> None:
        taken = next((name for name in _MASKS if name in self._parameters), None)
        if request.mask is None:
            if taken is not None and self._parameters[taken]:
                raise InvalidRequest(f"mask: {self._name} fills a part of an image; send a mask", param="mask")
            return
        if taken is None:
            raise UnsupportedParameter(f"mask: {self._name} takes none", param="mask")
        if not request.sources:
            raise InvalidRequest("mask: there is no image to apply it to", param="mask")


def _side(name: str, wanted: int) -> int:
    side = wanted // _MULTIPLE * _MULTIPLE
    if side < _LEAST_SIDE:
        raise InvalidRequest(f"size: {name} must be at least {_LEAST_SIDE} pixels, not {wanted}", param="size")
    return side


def _written(source: SourceImage, path: Path) -> str:
    """The path of the image as a file, which takes no time to encode."""
    if len(source.pixels) != 3 * source.width * source.height:
        raise InvalidRequest(f"image: {source.width}x{source.height} is not its number of pixels", param="image")
    with path.open("wb") as file:
        file.write(b"P6 %d %d 255\n" % (source.width, source.height))
        file.write(source.pixels)
    return str(path)
