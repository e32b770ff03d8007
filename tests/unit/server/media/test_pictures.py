"""Pictures of any format as pixels, and those that are refused."""

from __future__ import annotations

import asyncio
import random
import threading

import numpy as np
import pytest
from PIL import Image

from server.media.media import MediaRefused
from server.media.pictures import MAX_PIXELS, MAX_SIDE, Picture, fitted, picture
from tests.unit.server.media.drawn import (
    BLUE,
    GREEN,
    HTML,
    RED,
    SVG,
    WHITE,
    encoded,
    halves,
    plain,
    png_header,
    webp_header,
)

pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\.")


def colours(found: Picture) -> list[tuple[int, ...]]:
    """The pixels of a picture, row by row."""
    return list(zip(*[iter(found.pixels)] * 3, strict=True))


async def only(content: bytes) -> tuple[int, ...]:
    """The colour of a picture that has one."""
    (colour,) = set(colours(await picture(content, max_side=None)))
    return colour


async def refusal(content: bytes) -> str:
    with pytest.raises(MediaRefused) as caught:
        await picture(content, max_side=None)
    with pytest.raises(MediaRefused):
        await picture(content, max_side=16)
    return str(caught.value)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
async def test_a_picture_is_its_pixels_row_by_row(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    found = await picture(halves(format, **options), max_side=None)

    assert (found.width, found.height) == (16, 8)
    assert colours(found) == 8 * [*8 * [RED], *8 * [BLUE]]
    assert found.alpha is None


async def test_a_jpeg_is_near_its_pixels() -> None:
    found = await picture(halves("JPEG", quality=95, subsampling=0), max_side=None)
    differences = np.subtract(colours(found), 8 * [*8 * [RED], *8 * [BLUE]], dtype=np.int64)
    assert abs(differences).max() < 32


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_picture_is_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = halves(exif=exif)
    found = await picture(content, max_side=None)
    sideways = orientation >= 5

    assert (found.width, found.height) == ((8, 16) if sideways else (16, 8))
    first = BLUE if orientation in (2, 3, 7, 8) else RED
    assert (colours(found)[0], colours(found)[-1]) == (first, RED if first == BLUE else BLUE)


async def test_transparency_is_white_and_can_be_kept() -> None:
    content = encoded(Image.new("RGBA", (2, 1), (0, 0, 0, 0)))
    assert await only(content) == WHITE
    assert (await picture(content, max_side=None, alpha=True)).alpha == b"\0\0"
    assert await only(encoded(Image.new("LA", (2, 1), (0, 0)))) == WHITE
    assert await only(encoded(Image.new("RGB", (2, 1), RED), transparency=RED)) == WHITE
    assert (await picture(plain(), max_side=None, alpha=True)).alpha is None


async def test_palettes_and_their_transparency_are_colours() -> None:
    image = Image.new("P", (2, 1), 1)
    image.putpalette([*RED, *GREEN])
    assert await only(encoded(image)) == GREEN
    assert await only(encoded(image, "GIF")) == GREEN
    assert await only(encoded(image, transparency=1)) == WHITE


async def test_cmyk_and_grey_are_colours() -> None:
    assert await only(encoded(Image.new("CMYK", (2, 1), (0, 255, 255, 0)), "TIFF")) == RED
    assert await only(encoded(Image.new("L", (2, 1), 128))) == (128, 128, 128)
    assert await only(encoded(Image.new("1", (2, 1), 1))) == WHITE


@pytest.mark.parametrize(
    ("mode", "format", "value"),
    [
        ("I;16", "PNG", 32_896),
        ("I;16", "TIFF", 32_896),
        ("I", "TIFF", 32_896),
        ("I", "TIFF", 128),
        ("F", "TIFF", 0.502),
    ],
)
async def test_deep_greys_are_scaled(mode: str, format: str, value: float) -> None:
    assert await only(encoded(Image.new(mode, (2, 1), value), format)) == (128, 128, 128)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
async def test_of_an_animation_the_first_frame_is_read(format: str) -> None:
    frames = [Image.new("RGB", (4, 2), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if format == "WEBP" else {}
    content = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert await only(content) == RED


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
async def test_a_large_picture_is_scaled_within_the_side(format: str) -> None:
    content = encoded(Image.new("RGB", (640, 480), RED), format)
    found = await picture(content, max_side=64)
    assert (found.width, found.height, len(found.pixels)) == (64, 48, 64 * 48 * 3)


def test_a_side_keeps_a_pixel() -> None:
    assert fitted(10_000, 1, 100) == (100, 1)
    assert fitted(1, 1, 100) == (1, 1)
    assert fitted(300, 200, None) == (300, 200)


async def test_one_pixel_is_a_picture() -> None:
    found = await picture(plain(1, 1), max_side=512)
    assert (found.width, found.height, found.pixels) == (1, 1, bytes(RED))


async def test_what_is_no_picture_is_refused_by_its_name() -> None:
    assert "SVG" in await refusal(SVG)
    assert "HTML" in await refusal(HTML)
    assert "a PDF" in await refusal(b"%PDF-1.7\n")
    assert "HEIC" in await refusal(b"\0\0\0\x18ftypheic\0\0\0\0")
    assert "empty" in await refusal(b"")
    assert "no picture" in await refusal(b"just text")
    assert "damaged" in await refusal(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
async def test_a_truncated_picture_is_refused(format: str) -> None:
    noise = encoded(Image.effect_noise((64, 64), 80).convert("RGB"), format)
    assert "damaged" in await refusal(noise[: len(noise) * 2 // 3])


@pytest.mark.parametrize(
    "content",
    [
        png_header(30_000, 30_000),
        png_header(MAX_SIDE + 1, 1),
        png_header(MAX_SIDE, MAX_PIXELS // MAX_SIDE + 1),
        webp_header(16_000, 16_000),
    ],
)
async def test_a_declared_size_is_refused_before_anything_is_decoded(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("it is decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    assert "pixels" in await refusal(content)


async def test_the_event_loop_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, open_ = set(), Image.open

    def noted(*args: object, **options: object) -> Image.Image:
        threads.add(threading.current_thread())
        return open_(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", noted)
    await asyncio.gather(*(picture(plain(), max_side=None) for _ in range(8)))
    assert threads
    assert threading.main_thread() not in threads
    assert len(threads) <= 2


async def test_mutated_pictures_are_pictures_or_refused() -> None:
    """500 files with a few bytes changed, cut out or doubled: no other error is raised."""
    chosen = random.Random(16)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.effect_noise((24, 16), 60)
    files = [
        encoded(image.convert("RGB"), format, **options)
        for format, options in (
            ("PNG", {}),
            ("JPEG", {"exif": exif}),
            ("WEBP", {}),
            ("WEBP", {"lossless": True, "exif": exif}),
            ("GIF", {}),
            ("BMP", {}),
            ("TIFF", {}),
            ("TIFF", {"compression": "tiff_lzw"}),
        )
    ]
    files += [encoded(image.convert("P")), encoded(image.convert("RGBA")), encoded(image.convert("CMYK"), "JPEG")]
    pictures = 0
    for number in range(500):
        content = bytearray(files[number % len(files)])
        for _ in range(chosen.randint(1, 6)):
            place = chosen.randrange(min(len(content), chosen.choice((64, 10_000))))
            if chosen.random() < 0.8:
                content[place] = chosen.randrange(256)
            elif chosen.random() < 0.5:
                del content[place : place + chosen.randint(1, 16)]
            else:
                content[place:place] = content[place : place + chosen.randint(1, 16)]
        try:
            found = await picture(bytes(content), max_side=64)
        except MediaRefused:
            continue
        pictures += 1
        assert len(found.pixels) == found.width * found.height * 3
    assert 50 < pictures < 490
