"""Pictures that tests encode: files of any format and mode, and headers that promise more than there is."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import av
from PIL import Image
from pypdf import PdfWriter

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)

SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect/></svg>'
HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def plain(width: int = 4, height: int = 2, colour: tuple[int, int, int] = RED, format: str = "PNG") -> bytes:
    """A picture of one colour."""
    return encoded(Image.new("RGB", (width, height), colour), format)


def halves(format: str = "PNG", **options: Any) -> bytes:
    """16 by 8 pixels: the left half red, the right half blue."""
    image = Image.new("RGB", (16, 8), RED)
    image.paste(BLUE, (8, 0, 16, 8))
    return encoded(image, format, **options)


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares this size, and has no pixels."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + _chunk(b"IDAT", b"")
    )


def webp_header(width: int, height: int) -> bytes:
    """An extended WebP that declares this size, and has no pixels."""
    sides = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pdf(*, pages: int = 2, size: tuple[int, int] = (200, 100), password: str | None = None) -> bytes:
    """A PDF of empty pages."""
    writer, file = PdfWriter(), BytesIO()
    for _ in range(pages):
        writer.add_blank_page(*size)
    if password is not None:
        writer.encrypt(password)
    writer.write(file)
    return file.getvalue()


def video(*, frames: int = 20, size: tuple[int, int] = (64, 32), rate: int = 10) -> bytes:
    """A video that turns from black to red."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            image = Image.new("RGB", size, (255 * number // frames, 0, 0))
            for packet in stream.encode(av.VideoFrame.from_image(image)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file.getvalue()
