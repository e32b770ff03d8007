"""The images that come with a request to edit them, as pixels."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from contracts.images import CreateImageEditRequest
from contracts.uploads import Upload
from providers.errors import InvalidRequest
from providers.image.types import SourceImage
from server.media.media import MediaRefused
from server.media.pictures import Picture, picture

__all__ = ["opened"]

MAX_SIDE = 2048
"""A longer image is scaled down: models see about a megapixel."""
MAX_BYTES = 50_331_648
"""Pixels of all sources and the mask, which go to the engine in one frame: four images of the largest size."""


async def opened(data: CreateImageEditRequest) -> tuple[list[SourceImage], SourceImage | None]:
    """The images to edit, and the mask.

    Raises:
        InvalidRequest: there is none, one of them cannot be read, or together they are too large. `param` is its field.
    """
    if not data.image:
        raise InvalidRequest("image: must not be empty; send the image to edit", param="image")
    sources: list[SourceImage] = []
    for place, upload in enumerate(data.image):
        name = "image" if len(data.image) == 1 else f"image[{place}]"
        sources.append(_source(await _picture(upload, name)))
        _check_total(sources, name)
    if data.mask is None:
        return sources, None
    mask = await asyncio.to_thread(_mask, await _picture(data.mask, "mask", alpha=True))
    _check_total([*sources, mask], "mask")
    return sources, mask


async def _picture(upload: Upload, name: str, *, alpha: bool = False) -> Picture:
    content = await asyncio.to_thread(_read, upload)
    try:
        return await picture(content, max_side=MAX_SIDE, alpha=alpha)
    except MediaRefused as error:
        raise InvalidRequest(f"{name}: the image cannot be used: {error}", param=name) from None


def _read(upload: Upload) -> bytes:
    try:
        return upload.read()
    finally:
        upload.close()


def _source(picture: Picture) -> SourceImage:
    return SourceImage(picture.width, picture.height, picture.pixels)


def _mask(picture: Picture) -> SourceImage:
    """White where the image changes: where the mask is transparent, or where one without transparency is white."""
    import numpy as np

    if picture.alpha is None:
        return _source(picture)
    alpha = np.frombuffer(picture.alpha, np.uint8)
    if alpha.min() == 255:
        return _source(picture)
    return SourceImage(picture.width, picture.height, (255 - alpha).repeat(3).tobytes())


def _check_total(images: Sequence[SourceImage], name: str) -> None:
    if sum(len(image.pixels) for image in images) > MAX_BYTES:
        most = MAX_BYTES // 3
        raise InvalidRequest(
            f"{name}: the images have more than {most:,} pixels together, after those of more than {MAX_SIDE} pixels "
            "per side were scaled down; send fewer or smaller ones",
            param=name,
        )
