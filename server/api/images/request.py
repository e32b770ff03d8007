"""Image requests, from the wire to the domain."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import attrs

from contracts.images import CreateImageEditRequest, ImageFormat, ImageRequestFields
from providers.errors import InvalidRequest
from providers.image.types import ImageRequest, SourceImage
from server.api.refusals import check_parameters
from server.noted import note

__all__ = ["ImageAnswer", "image_answer", "size_of", "to_image_request"]

SIDE_STEP = 16
"""Pixels of a latent square: what every side is a multiple of."""
MIN_SIDE, MAX_SIDE = 64, 4096
MAX_PIXELS = 4_194_304
"""2048 × 2048: 12 MB of RGB."""
DEFAULT_SIDE = 1024
AUTO_PIXELS = 1536 * 1024
"""Most pixels of an edit whose size follows from its source."""

_SIZE = re.compile(r"\s*(\d{1,9})\s*[xX×*]\s*(\d{1,9})\s*")


@attrs.frozen(kw_only=True)
class ImageAnswer:
    """The form of the answer."""

    edit: bool
    output_format: ImageFormat
    compression: int
    """Quality of JPEG and WebP, in percent."""
    url: bool
    """Whether each image is a data URL."""
    stream: bool


def image_answer(data: ImageRequestFields) -> ImageAnswer:
    """The form of the answer.

    Raises:
        UnsupportedParameter: the server cannot honour a parameter.
    """
    check_parameters(data)
    output_format: ImageFormat = "jpeg" if data.output_format == "jpg" else data.output_format or "png"
    if output_format == "png" and data.output_compression not in (None, 100):
        note("output_compression")
    if data.stream and data.response_format == "url":
        note("response_format")
    if data.partial_images and not data.stream:
        note("partial_images")
    return ImageAnswer(
        edit=isinstance(data, CreateImageEditRequest),
        output_format=output_format,
        compression=100 if data.output_compression is None else data.output_compression,
        url=data.response_format == "url",
        stream=bool(data.stream),
    )


def to_image_request(
    data: ImageRequestFields, *, id: str, sources: Sequence[SourceImage] = (), mask: SourceImage | None = None
) -> ImageRequest:
    """Translate a request with the images that came with it. The contract has checked each of its values.

    Raises:
        InvalidRequest: the prompt is empty, or the size or the mask's size is wrong.
    """
    if not data.prompt.strip():
        raise InvalidRequest("prompt: must not be empty; describe the image", param="prompt")
    if mask is not None and (mask.width, mask.height) != (sources[0].width, sources[0].height):
        raise InvalidRequest(
            f"mask: has {mask.width}x{mask.height} pixels, and the image has {sources[0].width}x{sources[0].height}; "
            "they must have the same size",
            param="mask",
        )
    width, height = size_of(data.size, sources[0] if sources else None)
    return ImageRequest(
        id=id,
        prompt=data.prompt,
        n=data.n or 1,
        width=width,
        height=height,
        seed=None if data.seed in (None, -1) else data.seed,
        steps=data.steps,
        guidance=_guidance(data),
        negative_prompt=data.negative_prompt or None,
        sources=list(sources),
        mask=mask,
        strength=data.strength if isinstance(data, CreateImageEditRequest) else None,
        partial_images=(data.partial_images or 0) if data.stream else 0,
        timeout=data.timeout,
    )


def size_of(size: str | None, source: SourceImage | None = None) -> tuple[int, int]:
    """Width and height of the result. `auto` follows the source, if there is one.

    Raises:
        InvalidRequest: it is no size, or none that models can make.
    """
    if size is None or size.strip().lower() in ("", "auto"):
        return (DEFAULT_SIDE, DEFAULT_SIDE) if source is None else _like(source)
    found = _SIZE.fullmatch(size)
    if found is None:
        raise InvalidRequest(f"size: expected 'auto' or WIDTHxHEIGHT like '1024x768', not {size!r}", param="size")
    width, height = int(found[1]), int(found[2])
    if not all(MIN_SIDE <= side <= MAX_SIDE and side % SIDE_STEP == 0 for side in (width, height)):
        raise InvalidRequest(
            f"size: {width}x{height} is not possible; width and height must be multiples of {SIDE_STEP} from "
            f"{MIN_SIDE} to {MAX_SIDE}",
            param="size",
        )
    if width * height > MAX_PIXELS:
        raise InvalidRequest(
            f"size: {width}x{height} has {width * height:,} pixels; at most {MAX_PIXELS:,} are allowed", param="size"
        )
    return width, height


def _like(source: SourceImage) -> tuple[int, int]:
    """The source's size, scaled down to what models can make."""
    scale = min(
        1.0, math.sqrt(AUTO_PIXELS / (source.width * source.height)), MAX_SIDE / max(source.width, source.height)
    )
    sides = (source.width, source.height)
    width, height = (max(MIN_SIDE, round(side * scale / SIDE_STEP) * SIDE_STEP) for side in sides)
    return width, height


def _guidance(data: ImageRequestFields) -> float | None:
    if data.guidance is not None and data.guidance_scale not in (None, data.guidance):
        raise InvalidRequest(
            f"guidance is {data.guidance:g} and guidance_scale is {data.guidance_scale:g}; they mean the same: send "
            "one of them",
            param="guidance_scale",
        )
    return data.guidance if data.guidance is not None else data.guidance_scale
