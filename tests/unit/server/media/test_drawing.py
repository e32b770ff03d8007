"""Pages of PDFs and frames of videos."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from server.media.drawing import MAX_FRAMES, PAGE_SIDE, Draw, pdf_pages, video_frames
from server.media.media import MediaRefused
from tests.unit.server.media.drawn import encoded, pdf, plain, video

ROOM = 48 * 1024 * 1024


async def refusal(draw: Draw, content: bytes, *, most: int = 64, max_bytes: int = ROOM) -> str:
    with pytest.raises(MediaRefused) as caught:
        await draw(content, max_side=2048, most=most, max_bytes=max_bytes)
    return str(caught.value)


async def test_the_pages_of_a_pdf_are_pictures_in_order() -> None:
    image = Image.new("RGB", (60, 30), (0, 0, 255))
    content = encoded(Image.new("RGB", (60, 30), (255, 0, 0)), "PDF", save_all=True, append_images=[image])
    red, blue = await pdf_pages(content, max_side=200, most=2, max_bytes=ROOM)

    assert (red.width, red.height) == (blue.width, blue.height) == (200, 100)
    middle = 3 * (50 * 200 + 100)
    assert np.allclose([*red.pixels[middle : middle + 3]], (255, 0, 0), atol=8)
    assert np.allclose([*blue.pixels[middle : middle + 3]], (0, 0, 255), atol=8)


async def test_pages_are_as_large_as_there_is_room() -> None:
    (page,) = await pdf_pages(pdf(pages=1), max_side=4096, most=1, max_bytes=ROOM)
    assert (page.width, page.height) == (PAGE_SIDE, PAGE_SIDE // 2)
    pages = await pdf_pages(pdf(pages=2), max_side=2048, most=2, max_bytes=3 * 1024 * 1024)
    assert [(page.width, page.height) for page in pages] == [(1024, 512)] * 2
    assert "too many pixels" in await refusal(pdf_pages, pdf(pages=2), max_bytes=1000)
    (page,) = await pdf_pages(pdf(pages=1, size=(1, 100_000)), max_side=2048, most=1, max_bytes=ROOM)
    assert (page.width, page.height) == (1, PAGE_SIDE)


async def test_what_is_no_open_pdf_is_refused() -> None:
    assert "5,000 pages" in await refusal(pdf_pages, pdf(pages=5000))
    assert "encrypted" in await refusal(pdf_pages, pdf(password="secret"))
    assert "damaged" in await refusal(pdf_pages, pdf()[:200])
    assert "damaged" in await refusal(pdf_pages, plain())


async def test_the_frames_of_a_video_are_pictures_in_order() -> None:
    frames = await video_frames(video(frames=20, rate=10), max_side=32, most=64, max_bytes=ROOM)

    assert [(frame.width, frame.height) for frame in frames] == [(32, 16)] * 4
    reds = [frame.pixels[3 * (8 * 32 + 16)] for frame in frames]
    assert reds == sorted(reds)
    assert reds[-1] - reds[0] > 100


async def test_frames_are_bounded_by_count_and_pixels() -> None:
    long = video(frames=100, rate=5)
    assert len(await video_frames(long, max_side=32, most=64, max_bytes=ROOM)) == MAX_FRAMES
    assert len(await video_frames(long, max_side=32, most=3, max_bytes=ROOM)) == 3
    assert "too many pixels" in await refusal(video_frames, long, max_bytes=1000)


async def test_what_is_no_video_is_refused() -> None:
    for content in (b"", b"text", video()[:300]):
        assert "no video" in await refusal(video_frames, content)
