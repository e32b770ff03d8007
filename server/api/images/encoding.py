"""Pixels as PNG, JPEG and WebP files with their seed, steps and model as metadata, encoded in threads."""

from __future__ import annotations

import asyncio
import io
import json
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar

from contracts.images import ImageFormat
from providers.errors import ExtraNotInstalled
from providers.events import Event
from providers.extras import Extra
from providers.image.types import ImageAccepted, ImageEvent, ImageFinished, ImagePreview, ImageProgress
from server.api.images.request import ImageAnswer

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["SOFTWARE", "EncodedImage", "FinishedImage", "PaintedEvent", "encode", "encoded", "require_encoder"]

_EXTRA = Extra(name="images", modules=("PIL",), adds="images from text")

SOFTWARE = "mlx-openai-server"
_SOFTWARE_TAG, _EXIF, _USER_COMMENT = 0x0131, 0x8769, 0x9286
"""Tags of EXIF."""


class EncodedImage(Event, frozen=True):
    """An image, or a preview of one, as a file in base64. `ends` with the image's own file only."""

    heavy: ClassVar[bool] = True

    index: int
    width: int
    height: int
    file: str
    number: int
    """Of the preview."""


class FinishedImage(EncodedImage, frozen=True):
    """A finished image."""

    ends: ClassVar[bool] = True

    seed: int
    steps: int


PaintedEvent = ImageAccepted | ImageProgress | EncodedImage | FinishedImage
"""The events after the pixels are encoded."""


def require_encoder() -> None:
    """Raises: ExtraNotInstalled: images cannot be encoded here."""
    if _EXTRA.missing:
        raise ExtraNotInstalled(f"images cannot be encoded: {_EXTRA.refusal}")


async def encoded(
    events: AsyncGenerator[ImageEvent, None], answer: ImageAnswer, *, model: str
) -> AsyncGenerator[PaintedEvent, None]:
    """The events, with images and previews as files. Encodes in a thread."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, ImagePreview):
                file = await asyncio.to_thread(_base64, event, answer, {})
                yield EncodedImage(event.index, event.width, event.height, file, event.number)
            elif isinstance(event, ImageFinished):
                made = {"model": model, "seed": event.seed, "steps": event.steps}
                file = await asyncio.to_thread(_base64, event, answer, made)
                yield FinishedImage(event.index, event.width, event.height, file, 0, event.seed, event.steps)
            else:
                yield event


def encode(
    width: int, height: int, pixels: bytes, output_format: ImageFormat, compression: int, made: Mapping[str, Any]
) -> bytes:
    """A file of RGB pixels. `made` becomes its metadata, with the name of this program. It has no time, so that equal
    pixels are equal files."""
    from PIL import Image

    image = Image.frombytes("RGB", (width, height), pixels)
    file = io.BytesIO()
    if output_format == "png":
        from PIL.PngImagePlugin import PngInfo

        texts = PngInfo()
        for name, value in {"Software": SOFTWARE, **made}.items():
            texts.add_itxt(name, str(value))
        image.save(file, "PNG", pnginfo=texts)
    else:
        quality = max(1, compression)
        image.save(file, output_format.upper(), quality=quality, exif=_exif(made))
    return file.getvalue()


def _exif(made: Mapping[str, Any]) -> Image.Exif:
    from PIL import Image

    exif = Image.Exif()
    exif[_SOFTWARE_TAG] = SOFTWARE
    if made:
        exif.get_ifd(_EXIF)[_USER_COMMENT] = b"UNICODE\x00" + json.dumps(dict(made)).encode("utf-16-be")
    return exif


def _base64(event: ImagePreview | ImageFinished, answer: ImageAnswer, made: Mapping[str, Any]) -> str:
    file = encode(event.width, event.height, event.pixels, answer.output_format, answer.compression, made)
    return b64encode(file).decode("ascii")
