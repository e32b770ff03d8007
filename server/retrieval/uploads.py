"""Uploaded files: their rows in the database, and their contents in the folder."""

from __future__ import annotations

import asyncio
import os
import secrets
from io import BytesIO
from pathlib import Path
from typing import Protocol

from providers.errors import InvalidRequest, NotFound
from server.retrieval.library import Library, Tables
from server.retrieval.tables.pages import Page, PageRequest
from server.retrieval.tables.rows import FileRow

__all__ = ["Readable", "Uploads", "known_file"]

MAX_FILES = 10_000
MAX_FILENAME = 255
_PIECE = 1_048_576


class Readable(Protocol):
    """The content of a file."""

    def read(self, size: int = -1, /) -> bytes: ...


class Uploads:
    """Keeps up to `MAX_FILES` files of up to `max_bytes` together."""

    def __init__(self, library: Library, *, max_bytes: int) -> None:
        self._library = library
        self._max_bytes = max_bytes

    async def add(self, content: Readable, filename: str, purpose: str, *, seconds: int | None = None) -> FileRow:
        """Keep a file; `seconds` is the time until it expires.

        Raises:
            InvalidRequest: there is no space, or there are too many files.
        """
        id = f"file-{secrets.token_hex(12)}"
        folder = await self._library.folder()
        path = folder / id
        name = filename.replace("\\", "/").rpartition("/")[2][-MAX_FILENAME:] or "file"
        try:
            size = await asyncio.to_thread(_write, content, path)
            return await self._library.ask(lambda tables: self._add(tables, id, name, purpose, size, seconds))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    async def add_text(self, text: str, filename: str) -> FileRow:
        """Keep a text as a file. Raises: as `add`."""
        return await self.add(BytesIO(text.encode()), filename, "user_data")

    async def get(self, id: str) -> FileRow:
        """Raises: NotFound."""
        return await self._library.ask(lambda tables: known_file(tables, id))

    async def page(self, asked: PageRequest, *, purpose: str | None) -> Page[FileRow]:
        """Raises: InvalidRequest, where the list has no entry of the cursor's id."""
        return await self._library.ask(lambda tables: tables.files.page(asked, purpose=purpose))

    async def path(self, id: str) -> Path:
        """Where the content of a file is. Raises: NotFound."""
        await self.get(id)
        return self._library.path(id)

    async def delete(self, id: str) -> None:
        """Delete a file, also from every vector store. Raises: NotFound."""

        def delete(tables: Tables) -> None:
            known_file(tables, id)
            tables.files.delete(id)

        await self._library.ask(delete, deletes=True)
        await asyncio.to_thread(self._library.path(id).unlink, missing_ok=True)

    def _add(self, tables: Tables, id: str, name: str, purpose: str, size: int, seconds: int | None) -> FileRow:
        count, used = tables.files.usage()
        if count >= MAX_FILES:
            raise InvalidRequest(
                f"file: there are {count} files, as many as this server keeps; delete some", param="file"
            )
        if used + size > self._max_bytes:
            raise InvalidRequest(
                f"file: all files together would take {used + size:,} bytes; --data-size allows {self._max_bytes:,}",
                param="file",
            )
        expires = None if seconds is None else tables.now + seconds
        return tables.files.add(id, name, purpose, size, now=tables.now, expires=expires)


def known_file(tables: Tables, id: str, *, param: str = "file_id") -> FileRow:
    """Raises: NotFound, where there is no such file."""
    found = tables.files.get(id)
    if found is None:
        raise NotFound(f"File with id '{id[:128]}' not found.", param=param)
    return found


def _write(content: Readable, path: Path) -> int:
    """Copy piece by piece into a new file that only this user can read. Returns its size in bytes."""
    with open(path, "xb", opener=_private) as file:
        while piece := content.read(_PIECE):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
