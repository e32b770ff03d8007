"""The text of a document, and its place in a prompt."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO

import attrs

from providers.errors import InvalidRequest, NotFound
from server.media.media import Media, MediaRefused
from server.media.reader import MediaReader
from server.retrieval.retrieval import Retrieval
from server.retrieval.texts.reading import Unreadable, read_text

__all__ = ["MAX_DOCUMENTS", "Document", "Documents", "file_block"]

MAX_DOCUMENTS = 16
"""Documents that the server reads for a request."""


@attrs.frozen
class Document:
    """The name of a file and its text."""

    name: str
    text: str


@attrs.define
class Documents:
    """Reads the documents of one request, in order. Formats are those of uploaded files: text, HTML and PDF."""

    media: MediaReader
    retrieval: Retrieval
    _read: int = attrs.field(default=0, init=False)

    async def by_url(self, url: str, path: str, name: str | None) -> Document:
        """Raises: InvalidRequest, with the path of the field that has the URL."""
        return await self._named(path, lambda: self.media.read(url), name)

    async def inline(self, data: str, path: str, name: str | None) -> Document:
        """Of a data URL or base64. Raises: InvalidRequest, with the path of the field that has it."""
        return await self._named(path, lambda: self.media.read_inline(data), name)

    async def by_id(self, id: str, path: str) -> Document:
        """Of an uploaded file. Raises: NotFound, InvalidRequest, with the path of the field that has the id."""
        self._count(path)
        try:
            row = await self.retrieval.files.get(id)
            file = await self.retrieval.files.path(id)
            return Document(row.filename, await read_text(file, row.filename))
        except NotFound as error:
            error.param = path
            raise
        except (Unreadable, OSError) as error:
            raise InvalidRequest(f"{path}: the file cannot be read: {_reason(error)}", param=path) from None

    async def _named(self, path: str, read: Callable[[], Awaitable[Media]], name: str | None) -> Document:
        self._count(path)
        try:
            media = await read()
            name = name or media.name or "file"
            return Document(name, await _text(media, name))
        except (MediaRefused, Unreadable) as error:
            raise InvalidRequest(f"{path}: the file cannot be read: {error}", param=path) from None

    def _count(self, path: str) -> None:
        self._read += 1
        if self._read > MAX_DOCUMENTS:
            raise InvalidRequest(f"{path}: a request may have up to {MAX_DOCUMENTS} files", param=path)


def file_block(document: Document) -> str:
    """The document as the model reads it. Equal documents give equal text: the prompt keeps its prefix."""
    name = " ".join(document.name.replace('"', "'").split())[:256]
    return f'<file name="{name}">\n{document.text.strip()}\n</file>'


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


def _reason(error: Unreadable | OSError) -> str:
    return str(error) if isinstance(error, Unreadable) else "it is gone"
