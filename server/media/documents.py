"""The text of a document, and its place in a prompt."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import attrs

from providers.errors import InvalidRequest, NotFound
from server.media.attachments import Contents, Source
from server.media.media import Media, MediaRefused
from server.retrieval.texts.reading import Unreadable, is_pdf, read_text

__all__ = ["FILE_END", "MAX_DOCUMENTS", "Document", "Documents", "file_block", "file_head"]

FILE_END = "</file>"
MAX_DOCUMENTS = 16
"""Documents of a client that the server reads for a request, and as many of its tools."""


@attrs.frozen
class Document:
    """The name of a file and its text."""

    name: str
    text: str


@attrs.define
class Documents:
    """Reads the documents of one request, in order. Formats are those of uploaded files: text, HTML and PDF."""

    contents: Contents
    pages: Callable[[], bool]
    """Whether the model reads the pages of a PDF as pictures, instead of its text."""
    _read: int = attrs.field(default=0, init=False)
    _returned: int = attrs.field(default=0, init=False)
    _waited: float = attrs.field(default=0.0, init=False)
    """Seconds that were spent on addresses of tools whose file did not come."""

    async def read(self, source: Source, place: str) -> Document | None:
        """The text of a file. None: it is a PDF whose pages are read. `place`: the path of the field with the source.

        Raises:
            InvalidRequest: it cannot be read.
            NotFound: there is no such upload.
        """
        self._count(place)
        try:
            return await self._document(source)
        except NotFound as error:
            raise NotFound(f"{place}: {error.message}", param=place) from None
        except (MediaRefused, Unreadable, OSError) as error:
            raise InvalidRequest(f"{place}: the file cannot be read: {_reason(error)}", param=place) from None

    async def returned(self, source: Source | None) -> Document | None:
        """As `read`, of what a tool returned. None too: it cannot be read, or there are too many.

        The client cannot mend it, and every later turn repeats it.
        """
        self._returned += 1
        if source is None or self._returned > MAX_DOCUMENTS:
            return None
        # One after the other, dead addresses would keep the client waiting for minutes.
        late = source.by == "url" and self._waited >= self.contents.media.seconds
        if late and source.value[:4].lower() == "http":
            return None
        started = time.monotonic()
        try:
            return await self._document(source)
        except (NotFound, MediaRefused, Unreadable, OSError):
            if source.by == "url":
                self._waited += time.monotonic() - started
            return None

    async def _document(self, source: Source) -> Document | None:
        """Raises: NotFound, MediaRefused, Unreadable, OSError."""
        return await (self._uploaded(source) if source.by == "id" else self._sent(source))

    async def _uploaded(self, source: Source) -> Document | None:
        files = self.contents.files
        row, file = await files.get(source.value), await files.path(source.value)
        if self.pages() and await asyncio.to_thread(_begins_as_pdf, file):
            return None
        return Document(source.name or row.filename, await read_text(file, row.filename))

    async def _sent(self, source: Source) -> Document | None:
        media = await self.contents.read(source)
        name = source.name or media.name or "file"
        if self.pages() and is_pdf(media.content):
            self.contents.keep(source, attrs.evolve(media, name=name))
            return None
        return Document(name, await _text(media, name))

    def _count(self, path: str) -> None:
        self._read += 1
        if self._read > MAX_DOCUMENTS:
            raise InvalidRequest(f"{path}: a request may have up to {MAX_DOCUMENTS} files", param=path)


def file_block(document: Document) -> str:
    """The document as the model reads it. Equal documents give equal text: the prompt keeps its prefix."""
    return f"{file_head(document.name)}\n{document.text.strip()}\n{FILE_END}"


def file_head(name: str) -> str:
    """The line in front of a file."""
    return f'<file name="{" ".join(name.replace(chr(34), chr(39)).split())[:256]}">'


async def _text(media: Media, name: str) -> str:
    """Raises: Unreadable."""
    if media.media_type in ("text/html", "application/xhtml+xml"):
        name += ".html"
    with tempfile.NamedTemporaryFile(prefix="mlx-openai-server-") as file:
        await asyncio.to_thread(_write, file, media.content)
        return await read_text(Path(file.name), name)


def _write(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()


def _begins_as_pdf(file: Path) -> bool:
    with file.open("rb") as opened:
        return is_pdf(opened.read(1024))


def _reason(error: Exception) -> str:
    return "it is gone" if isinstance(error, OSError) else str(error)
