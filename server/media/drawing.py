"""The pages of a PDF, and frames of a video, as pictures. Programs draw them: a malicious file can take any time and
memory, or end its reader."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from typing import IO, Any, Protocol

from providers.chat.types import ImagePart
from server.media.media import MediaRefused
from server.media.pdf_pages import SIZE
from server.retrieval.texts.reading import ReaderFailed, printed

__all__ = ["Draw", "pdf_pages", "video_frames"]

SECONDS = 60.0
"""Time to draw a file, after which it counts as unreadable."""
PAGE_SIDE = 1536
"""The longest side of a page: about 130 dots per inch of a letter."""
FRAME_SIDE = 768
"""The longest side of a frame."""
MAX_FRAMES = 16
"""Frames of a video."""


class Draw(Protocol):
    """A function that draws the pictures of a file: up to `most`, with up to `max_bytes` of pixels together.

    Raises:
        MediaRefused: it cannot be read, or has too many pages.
    """

    def __call__(
        self, content: bytes, *, max_side: int, most: int, max_bytes: int
    ) -> Coroutine[Any, Any, list[ImagePart]]: ...


async def pdf_pages(content: bytes, *, max_side: int, most: int, max_bytes: int) -> list[ImagePart]:
    """All pages, in order."""
    return await _drawn("server.media.pdf_pages", content, min(max_side, PAGE_SIDE), most, max_bytes)


async def video_frames(content: bytes, *, max_side: int, most: int, max_bytes: int) -> list[ImagePart]:
    """Frames at equal distances."""
    most = min(most, MAX_FRAMES)
    return await _drawn("server.media.video_frames", content, min(max_side, FRAME_SIDE), most, max_bytes)


async def _drawn(program: str, content: bytes, *numbers: int) -> list[ImagePart]:
    with tempfile.NamedTemporaryFile(prefix="mlx-openai-server-") as file:
        await asyncio.to_thread(_write, file, content)
        try:
            drawn = await printed(program, file.name, *map(str, numbers), seconds=SECONDS)
        except ReaderFailed as error:
            raise MediaRefused(str(error)) from None
    return await asyncio.to_thread(_pages, drawn)


def _write(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()


def _pages(drawn: bytes) -> list[ImagePart]:
    pages = []
    place = 0
    while place < len(drawn):
        width, height = SIZE.unpack_from(drawn, place)
        begin = place + SIZE.size
        place = begin + 3 * width * height
        pages.append(ImagePart.of(width, height, drawn[begin:place]))
    return pages
