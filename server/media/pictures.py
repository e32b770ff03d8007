"""Pictures of any common format, as pixels. Nothing is decoded before its size is known, and nothing on the event loop.

Pillow decodes, in a few threads, so that the pictures that are being decoded have a bound. Its own limit of pixels
(`Image.MAX_IMAGE_PIXELS`) is above those here and stays in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, Any

import attrs

from providers.chat.types import ImagePart
from server.media.media import MediaRefused

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "MAX_PIXELS",
    "MAX_SIDE",
    "Picture",
    "digest",
    "fitted",
    "image_part",
    "media_type",
    "picture",
    "picture_size",
]

MAX_SIDE = 16_384
"""Of a picture as it is sent, in pixels."""
MAX_PIXELS = 50_000_000
"""As `MAX_SIDE`. A decoded one has 200 MB in the worst case, until it is scaled."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_NAMES = "PNG, JPEG, WebP, GIF, BMP or TIFF"
_TYPES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}
"""Media types by the first bytes."""
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="pictures")
"""Their number bounds the memory of pictures that are being decoded."""
_ORIENTATION = 0x0112
"""The EXIF tag of how to turn a picture upright."""
_SIDEWAYS = range(5, 9)
"""Its values that exchange width and height."""
_WHITE = (255, 255, 255, 255)
_HEAD = 1024
"""Bytes in which a format that is no picture is recognised."""

warnings.filterwarnings("ignore", module=r"PIL\.")
# Of damaged files, with values from them: clients would write to the server's standard error.


@attrs.frozen
class Picture:
    """RGB, 8 bits each, row by row, upright, composited on white."""

    width: int
    height: int
    pixels: bytes
    alpha: bytes | None = None
    """One byte per pixel, 0 where the picture is transparent. None: it was not requested, or the picture has none."""


async def picture_size(content: bytes) -> tuple[int, int]:
    """Width and height of the upright picture, from its header.

    Raises:
        MediaRefused: it is no picture that is read, or too large.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _size, content)


async def picture(content: bytes, *, max_side: int | None, alpha: bool = False) -> Picture:
    """Decode a picture; of an animated one the first frame. The format is that of the content, whatever its name.

    `max_side`: a picture whose longest side is longer is scaled down. `alpha`: keep the transparency as well.

    Raises:
        MediaRefused: it is no picture that is read, it is damaged, or it is too large.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _decoded, content, max_side, alpha)


async def image_part(content: bytes, *, max_side: int | None) -> ImagePart:
    """A picture for a model that reads pictures. Raises as `picture`."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _part, content, max_side)


async def digest(content: bytes) -> str:
    """SHA-256 of a file."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, lambda: hashlib.sha256(content).hexdigest())


def media_type(content: bytes) -> str:
    """The media type of a picture that was read."""
    if content[8:12] == b"WEBP":
        return "image/webp"
    found = (name for start, name in _TYPES.items() if content.startswith(start))
    return next(found, "application/octet-stream")


def fitted(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """The size within a longest side, in the same proportions. Each side has at least 1 pixel."""
    longest = max(width, height)
    if max_side is None or longest <= max_side:
        return width, height
    return max(1, round(width * max_side / longest)), max(1, round(height * max_side / longest))


def _size(content: bytes) -> tuple[int, int]:
    with _opened(content) as image:
        width, height = image.size
        return (height, width) if _orientation(image) in _SIDEWAYS else (width, height)


def _decoded(content: bytes, max_side: int | None, alpha: bool) -> Picture:
    from PIL import Image

    with _opened(content) as image:
        orientation = _orientation(image)
        try:
            if image.format in ("JPEG", "MPO") and max_side is not None:
                image.draft("RGB", fitted(*image.size, max_side))  # decodes a half, quarter or eighth of the size
            image.load()
            size = fitted(*image.size, max_side)
            shown = _in_8_bits(image)
            if size != shown.size:
                shown = shown.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
            shown = _upright(shown, orientation)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's decoders raise errors of any type
            raise _damaged(error) from None
    return _picture(shown, alpha)


def _part(content: bytes, max_side: int | None) -> ImagePart:
    found = _decoded(content, max_side, alpha=False)
    return ImagePart.of(found.width, found.height, found.pixels)


def _opened(content: bytes) -> Image.Image:
    """A picture whose header is read, and checked.

    Raises:
        MediaRefused: as `picture`.
    """
    _check_webp(content)
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise MediaRefused("this server reads no pictures: pip install 'mlx-openai-server-lab[vision]'") from None
    try:
        image = Image.open(BytesIO(content), formats=FORMATS)
        width, height = image.size
    except UnidentifiedImageError:
        raise MediaRefused(_unknown(content)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise MediaRefused(f"it has more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:
        raise _damaged(error) from None
    _check_size(width, height)
    return image


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise MediaRefused("it has no pixels")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise MediaRefused(
            f"it has {width:,} by {height:,} pixels; up to {MAX_SIDE:,} per side and {MAX_PIXELS:,} together are read"
        )


def _check_webp(content: bytes) -> None:
    """Check the size of a WebP, whose decoder reserves the memory of two frames when it is opened."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 30:
        return
    match content[12:16]:
        case b"VP8X":
            width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", content, 21)
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
    _check_size(width, height)


def _orientation(image: Image.Image) -> int:
    value: Any = 1
    with contextlib.suppress(Exception):  # damaged metadata: the picture itself may be sound
        value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _in_8_bits(image: Image.Image) -> Image.Image:
    """The picture as `RGB`, or `RGBA` if it has transparency."""
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(image).convert("RGB")
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """A picture in greys of 16 or 32 bits, or fractions, in 8 bits. `convert` would cut off what is over 255."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    most = 1.0 if image.mode == "F" and values.max() <= 1 else 65_535.0 if values.max() > 255 else 255.0
    if image.mode.startswith("I;16"):
        most = 65_535.0
    return Image.fromarray((values.clip(0, most) * (255 / most) + 0.5).astype(np.uint8))


def _picture(image: Image.Image, alpha: bool) -> Picture:
    from PIL import Image

    if image.mode != "RGBA":
        return Picture(*image.size, image.tobytes())
    white = Image.new("RGBA", image.size, _WHITE)
    shown = Image.alpha_composite(white, image).convert("RGB")
    return Picture(*image.size, shown.tobytes(), image.getchannel("A").tobytes() if alpha else None)


def _damaged(error: Exception) -> MediaRefused:
    reason = " ".join(str(error).split())[:128]
    return MediaRefused(f"it is a damaged picture ({reason})" if reason else "it is a damaged picture")


def _unknown(content: bytes) -> str:
    """What the content is instead of a picture that is read."""
    head = content[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    found = "no picture"
    if not head:
        found = "empty"
    elif b"<svg" in head:
        found = "SVG, a drawing without pixels"
    elif head.startswith((b"<!doctype html", b"<html")):
        found = "a page of HTML"
    elif head.startswith(b"%pdf-"):
        found = "a PDF"
    elif head[4:8] == b"ftyp":
        found = "HEIC, AVIF or a video"
    elif head.startswith((b"\x89png", b"\xff\xd8\xff", b"gif8", b"bm", b"ii*\0", b"mm\0*", b"riff")):
        found = "a damaged picture"
    return f"it is {found}; send {_NAMES}"
