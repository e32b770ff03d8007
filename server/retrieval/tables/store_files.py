"""The files in vector stores, their batches, and their passages."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import attrs

from contracts.retrieval.store_files import ErrorCode, FileStatus, LastError
from server.retrieval.tables.pages import Page, PageRequest, select_page
from server.retrieval.tables.rows import Attributes, BatchRow, Counts, StoreFileRow, Strategy

__all__ = ["Chunk", "StoreFileTable"]

_SELECT = """SELECT store_files.key, files.id, files.filename, stores.id, stores.model, store_files.created, status,
error_code, error_message, attributes, size, overlap, store_files.bytes FROM store_files
JOIN files ON files.key = store_files.file JOIN stores ON stores.key = store_files.store"""


@attrs.frozen
class Chunk:
    """A passage to store: its place in the text of its file, and the vectors of its parts as little-endian float32."""

    start: int
    stop: int
    text: str
    vectors: Sequence[bytes]


class StoreFileTable:
    """Reads and writes `store_files`, `batches` and `chunks`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # ── files ───────────────────────────────────────────────────────────────────────────────────────────────

    def add(
        self, store: int, file: int, *, attributes: Attributes, strategy: Strategy, batch: int | None, now: int
    ) -> int:
        """Put a file into a store, to be indexed. It replaces the same file. Returns its key."""
        self._connection.execute("DELETE FROM store_files WHERE store = ? AND file = ?", (store, file))
        added = self._connection.execute(
            "INSERT INTO store_files (store, file, batch, created, status, attributes, size, overlap) "
            "VALUES (?, ?, ?, ?, 'in_progress', ?, ?, ?)",
            (store, file, batch, now, json.dumps(attributes), strategy.size, strategy.overlap),
        )
        return added.lastrowid or 0

    def get(self, store: int, file_id: str) -> StoreFileRow | None:
        found = self._connection.execute(f"{_SELECT} WHERE store = ? AND files.id = ?", (store, file_id)).fetchone()
        return None if found is None else _row(*found)

    def by_key(self, key: int) -> StoreFileRow | None:
        found = self._connection.execute(f"{_SELECT} WHERE store_files.key = ?", (key,)).fetchone()
        return None if found is None else _row(*found)

    def page(
        self, asked: PageRequest, *, store: int, batch: int | None = None, status: FileStatus | None = None
    ) -> Page[StoreFileRow]:
        where: dict[str, Any] = {"store": store}
        if batch is not None:
            where["batch"] = batch
        if status is not None:
            where["status"] = status
        condition = " AND ".join(f"{name} = ?" for name in where)
        page = select_page(
            self._connection, _SELECT, condition, [*where.values()], asked, key="store_files.key", id="files.id"
        )
        return Page([_row(*found) for found in page.rows], page.has_more)

    def unfinished(self) -> list[int]:
        """The keys of files that are not indexed yet, oldest first; what was indexed of them is deleted."""
        keys = self._connection.execute("SELECT key FROM store_files WHERE status = 'in_progress' ORDER BY key")
        found = [key for (key,) in keys]
        for key in found:
            self._end(key, "in_progress")
        return found

    def set_attributes(self, key: int, attributes: Attributes) -> None:
        self._connection.execute("UPDATE store_files SET attributes = ? WHERE key = ?", (json.dumps(attributes), key))

    def set_strategy(self, key: int, strategy: Strategy) -> None:
        self._connection.execute(
            "UPDATE store_files SET size = ?, overlap = ? WHERE key = ?", (strategy.size, strategy.overlap, key)
        )

    def remove(self, key: int) -> None:
        self._connection.execute("DELETE FROM store_files WHERE key = ?", (key,))

    # ── passages ────────────────────────────────────────────────────────────────────────────────────────────

    def add_chunks(self, key: int, chunks: Sequence[Chunk]) -> bool:
        """Add passages to a file that is being indexed. Returns False if it no longer is."""
        if not self._in_progress(key):
            return False
        size = 0
        for chunk in chunks:
            added = self._connection.execute(
                "INSERT INTO chunks (store_file, start, stop, text) VALUES (?, ?, ?, ?)",
                (key, chunk.start, chunk.stop, chunk.text),
            )
            self._connection.executemany(
                "INSERT INTO vectors (store_file, chunk, vector) VALUES (?, ?, ?)",
                [(key, added.lastrowid, vector) for vector in chunk.vectors],
            )
            size += len(chunk.text.encode()) + sum(map(len, chunk.vectors))
        self._connection.execute("UPDATE store_files SET bytes = bytes + ? WHERE key = ?", (size, key))
        return True

    def complete(self, key: int) -> None:
        if self._in_progress(key):
            self._connection.execute("UPDATE store_files SET status = 'completed' WHERE key = ?", (key,))

    def fail(self, key: int, error: LastError) -> None:
        if self._in_progress(key):
            self._end(key, "failed")
            self._connection.execute(
                "UPDATE store_files SET error_code = ?, error_message = ? WHERE key = ?",
                (error.code, error.message, key),
            )

    def text(self, key: int) -> str:
        """The text of an indexed file. Passages overlap and together cover it."""
        parts, end = [], 0
        rows = self._connection.execute(
            "SELECT start, stop, text FROM chunks WHERE store_file = ? ORDER BY key", (key,)
        )
        for start, stop, text in rows:
            parts.append(text[end - start :])
            end = stop
        return "".join(parts)

    # ── batches ─────────────────────────────────────────────────────────────────────────────────────────────

    def add_batch(self, id: str, store: int, *, now: int) -> int:
        added = self._connection.execute("INSERT INTO batches (id, store, created) VALUES (?, ?, ?)", (id, store, now))
        return added.lastrowid or 0

    def batch(self, store: int, id: str) -> BatchRow | None:
        found = self._connection.execute(
            "SELECT batches.key, batches.id, stores.id, batches.created, cancelled FROM batches "
            "JOIN stores ON stores.key = store WHERE store = ? AND batches.id = ?",
            (store, id),
        ).fetchone()
        if found is None:
            return None
        key, batch_id, store_id, created, cancelled = found
        by_status = self._connection.execute(
            "SELECT status, count(*) FROM store_files WHERE batch = ? GROUP BY status", (key,)
        )
        return BatchRow(
            key=key,
            id=batch_id,
            store_id=store_id,
            created=created,
            cancelled=bool(cancelled),
            counts=Counts(**dict(by_status)),
        )

    def cancel_batch(self, key: int) -> None:
        """Cancel the files of a batch that are not indexed yet."""
        self._connection.execute("UPDATE batches SET cancelled = 1 WHERE key = ?", (key,))
        waiting = self._connection.execute(
            "SELECT key FROM store_files WHERE batch = ? AND status = 'in_progress'", (key,)
        ).fetchall()
        for (store_file,) in waiting:
            self._end(store_file, "cancelled")

    def _in_progress(self, key: int) -> bool:
        found = self._connection.execute("SELECT status FROM store_files WHERE key = ?", (key,)).fetchone()
        return found is not None and found[0] == "in_progress"

    def _end(self, key: int, status: FileStatus) -> None:
        self._connection.execute("DELETE FROM chunks WHERE store_file = ?", (key,))
        self._connection.execute("UPDATE store_files SET status = ?, bytes = 0 WHERE key = ?", (status, key))


def _row(
    key: int,
    file_id: str,
    filename: str,
    store_id: str,
    model: str,
    created: int,
    status: FileStatus,
    error_code: ErrorCode | None,
    error_message: str | None,
    attributes: str,
    size: int,
    overlap: int,
    stored: int,
) -> StoreFileRow:
    return StoreFileRow(
        key=key,
        file_id=file_id,
        filename=filename,
        store_id=store_id,
        model=model,
        created=created,
        status=status,
        error=None if error_code is None else LastError(code=error_code, message=error_message or ""),
        attributes=json.loads(attributes),
        strategy=Strategy(size, overlap),
        bytes=stored,
    )
