"""The table of uploaded files."""

from __future__ import annotations

import sqlite3

from server.retrieval.tables.pages import Page, PageRequest, select_page
from server.retrieval.tables.rows import FileRow

__all__ = ["FileTable"]

_SELECT = "SELECT key, id, filename, purpose, bytes, created, expires FROM files"


class FileTable:
    """Reads and writes `files`. What is deleted here is deleted in every store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, id: str, filename: str, purpose: str, size: int, *, now: int, expires: int | None) -> FileRow:
        added = self._connection.execute(
            "INSERT INTO files (id, filename, purpose, bytes, created, expires) VALUES (?, ?, ?, ?, ?, ?)",
            (id, filename, purpose, size, now, expires),
        )
        return FileRow(
            key=added.lastrowid or 0,
            id=id,
            filename=filename,
            purpose=purpose,
            bytes=size,
            created=now,
            expires=expires,
        )

    def get(self, id: str) -> FileRow | None:
        found = self._connection.execute(f"{_SELECT} WHERE id = ?", (id,)).fetchone()
        return None if found is None else _row(*found)

    def page(self, asked: PageRequest, *, purpose: str | None) -> Page[FileRow]:
        where, values = ("TRUE", []) if purpose is None else ("purpose = ?", [purpose])
        page = select_page(self._connection, _SELECT, where, values, asked, key="key", id="id")
        return Page([_row(*found) for found in page.rows], page.has_more)

    def delete(self, id: str) -> bool:
        """Returns whether it existed."""
        return self._connection.execute("DELETE FROM files WHERE id = ?", (id,)).rowcount > 0

    def delete_expired(self, now: int) -> list[str]:
        """Returns the ids of the deleted files."""
        expired = self._connection.execute("SELECT id FROM files WHERE expires <= ?", (now,)).fetchall()
        if expired:
            self._connection.executemany("DELETE FROM files WHERE id = ?", expired)
        return [id for (id,) in expired]

    def ids(self) -> set[str]:
        return {id for (id,) in self._connection.execute("SELECT id FROM files")}

    def usage(self) -> tuple[int, int]:
        """The number of files, and their bytes."""
        count, size = self._connection.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM files").fetchone()
        return count, size


def _row(key: int, id: str, filename: str, purpose: str, size: int, created: int, expires: int | None) -> FileRow:
    return FileRow(key=key, id=id, filename=filename, purpose=purpose, bytes=size, created=created, expires=expires)
