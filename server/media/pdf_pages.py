"""Program that draws a PDF: `python -m server.media.pdf_pages FILE SIDE PAGES BYTES PARENT`.

It prints the width and height of each page, as two numbers of 32 bits, and its pixels. The longest side has SIDE
pixels, or fewer where all pages would have more than BYTES together. More than PAGES pages are refused. The process
ends when the one with the id `PARENT` has died.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from typing import Any

from server.retrieval.texts.confined import confine, refuse

__all__ = ["SIZE", "side_of", "size_within"]

SIZE = struct.Struct("<II")
"""Width and height of a page."""
SIDES = (2048, 1536, 1280, 1024, 896, 768, 640, 512)
"""Longest sides that are tried."""


def main(path: str, side: int, pages: int, most: int, parent: int) -> int:
    """Returns the exit status. On a failure, the last line of standard error is the reason."""
    confine(parent)
    try:
        import pypdfium2
    except ImportError:
        return refuse("pypdfium2 is not installed; pip install 'mlx-openai-server-lab[vision]'")
    try:
        document: Any = pypdfium2.PdfDocument(path)
        if len(document) > pages:
            return refuse(f"it has {len(document):,} pages; up to {pages} are read as pictures")
        sizes = [document.get_page_size(index) for index in range(len(document))]
        if (chosen := side_of(sizes, side, most)) is None:
            return refuse("its pages have too many pixels together with the other pictures")
        for index, size in enumerate(sizes):
            _draw(document[index], *size_within(size, chosen))
    except pypdfium2.PdfiumError as error:
        encrypted = "password" in str(error).lower()
        return refuse("it is encrypted" if encrypted else f"it is damaged ({error})")
    except Exception as error:
        return refuse(f"{type(error).__name__}: {error}")
    return 0


def side_of(sizes: Sequence[tuple[float, float]], side: int, most: int) -> int | None:
    """The longest side of pages within all bytes. None: there is none."""
    for tried in (side, *(smaller for smaller in SIDES if smaller < side)):
        if 3 * sum(width * height for width, height in (size_within(size, tried) for size in sizes)) <= most:
            return tried
    return None


def size_within(size: tuple[float, float], side: int) -> tuple[int, int]:
    """The size of a page whose longest side has this many pixels."""
    scale = side / max(*size, 1e-6)
    width, height = (min(side, max(1, round(length * scale))) for length in size)
    return width, height


def _draw(page: Any, width: int, height: int) -> None:
    import numpy as np
    from PIL import Image

    scale = min(width / max(page.get_width(), 1e-6), height / max(page.get_height(), 1e-6))
    bitmap = page.render(scale=scale, rev_byteorder=True)
    drawn = Image.fromarray(np.ascontiguousarray(bitmap.to_numpy()[:, :, :3]))
    if drawn.size != (width, height):
        drawn = drawn.resize((width, height))
    sys.stdout.buffer.write(SIZE.pack(width, height) + drawn.tobytes())
    page.close()


if __name__ == "__main__":
    path, *numbers = sys.argv[1:]
    sys.exit(main(path, *map(int, numbers)))
