"""Responses and their items in SQLite, as JSON bytes. Belongs to one thread."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import attrs

from server.full_disk import is_full_disk

__all__ = ["IN_MEMORY", "ItemRow", "ResponseDatabase", "ResponseRow"]

IN_MEMORY = ":memory:"

Side = Literal["input", "output"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    id TEXT PRIMARY KEY,
    previous TEXT,
    used REAL NOT NULL,
    bytes INTEGER NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS responses_used ON responses (used);
CREATE TABLE IF NOT EXISTS items (
    response TEXT NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
    side TEXT NOT NULL,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (response, side, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS items_id ON items (id);
CREATE TABLE IF NOT EXISTS totals (responses INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO totals SELECT 0, 0 WHERE NOT EXISTS (SELECT * FROM totals);
CREATE TRIGGER IF NOT EXISTS counted AFTER INSERT ON responses
    BEGIN UPDATE totals SET responses = responses + 1, bytes = bytes + NEW.bytes; END;
CREATE TRIGGER IF NOT EXISTS discounted AFTER DELETE ON responses
    BEGIN UPDATE totals SET responses = responses - 1, bytes = bytes - OLD.bytes; END;
"""
_VERSION = 1
_PATIENCE = 5.0
"""Seconds that a connection waits for another server's."""
ROW_BYTES = 128
"""Bytes of a row beside its text, in the indices and pages."""


@attrs.frozen
class ItemRow:
    """An item of a response, as JSON."""

    id: str
    body: bytes


@attrs.frozen(kw_only=True)
class ResponseRow:
    """A response as JSON without its output; the output is among the items."""

    id: str
    previous: str | None
    body: bytes
    input: Sequence[ItemRow]
    output: Sequence[ItemRow]

    @property
    def size(self) -> int:
        """Its approximate bytes in the database."""
        items = [*self.input, *self.output]
        return len(self.body) + ROW_BYTES + sum(len(item.body) + len(item.id) + ROW_BYTES for item in items)


class ResponseDatabase:
    """Rows unused for `time_to_live` seconds expire. Over `max_bytes`, the rows unused for longest are deleted.

    A response is used when it is written, read, or continued. Every use counts for all that the response continues, so
    a conversation ages as a whole.

    Raises (all methods):
        sqlite3.Error, OSError: the file cannot be read or written.
    """

    def __init__(self, path: str, *, time_to_live: float, max_bytes: int) -> None:
        self._time_to_live = time_to_live
        self._max_bytes = max_bytes
        if path != IN_MEMORY:
            Path(path).touch(mode=0o600)  # conversations are private to the owner
        # Only the thread that owns this object calls it; sqlite3 would require the thread that opened it.
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_PATIENCE)
        _write_ahead(self._connection)
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"it was written by another version of this server (schema {version})")
        self._connection.executescript(_SCHEMA)
        self._connection.execute(f"PRAGMA user_version = {_VERSION}")

    def purge(self, now: float) -> None:
        """Delete expired rows. Every `put` does this too."""
        self._connection.execute("DELETE FROM responses WHERE used <= ?", (now - self._time_to_live,))

    def close(self) -> None:
        self._connection.close()

    def put(self, row: ResponseRow, now: float) -> bool:
        """Write a response. Returns False, without writing, where the response itself exceeds the bound."""
        if row.size > self._max_bytes:
            return False
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "INSERT INTO responses VALUES (?, ?, ?, ?, ?)",
                (row.id, row.previous, now, row.size, row.body),
            )
            sides: tuple[tuple[Side, Sequence[ItemRow]], ...] = (("input", row.input), ("output", row.output))
            self._connection.executemany(
                "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
                [
                    (row.id, side, position, item.id, item.body)
                    for side, items in sides
                    for position, item in enumerate(items)
                ],
            )
            self._evict(now)
        return True

    def get(self, id: str, now: float) -> ResponseRow | None:
        """One response, or None."""
        found = self._connection.execute(
            "SELECT previous, body FROM responses WHERE id = ? AND used > ?", (id, now - self._time_to_live)
        ).fetchone()
        if found is None:
            return None
        self._use([id], now)
        previous, body = found
        return ResponseRow(
            id=id, previous=previous, body=body, input=self._items(id, "input"), output=self._items(id, "output")
        )

    def conversation(self, id: str, now: float, *, answered: bool) -> list[bytes] | None:
        """The items of a response and of all that it continues, in order. None where one of these is missing.

        `answered` includes the response's own output.
        """
        ids: list[str] = []
        next_id: str | None = id
        while next_id is not None:
            found = self._connection.execute(
                "SELECT previous FROM responses WHERE id = ? AND used > ?", (next_id, now - self._time_to_live)
            ).fetchone()
            if found is None:
                return None
            ids.append(next_id)
            (next_id,) = found
        self._use(ids, now)
        bodies: list[bytes] = []
        for one in reversed(ids):
            bodies += [item.body for item in self._items(one, "input")]
            if answered or one != id:
                bodies += [item.body for item in self._items(one, "output")]
        return bodies

    def item(self, id: str, now: float) -> bytes | None:
        """The newest item of this id, or None."""
        found = self._connection.execute(
            "SELECT items.body, response FROM items JOIN responses ON responses.id = response "
            "WHERE items.id = ? AND used > ? ORDER BY used DESC LIMIT 1",
            (id, now - self._time_to_live),
        ).fetchone()
        if found is None:
            return None
        self._use([found[1]], now)
        return bytes(found[0])

    def delete(self, id: str, now: float) -> bool:
        """Delete a response. Returns whether it existed."""
        found = self._connection.execute(
            "DELETE FROM responses WHERE id = ? AND used > ?", (id, now - self._time_to_live)
        )
        return found.rowcount > 0

    def usage(self) -> tuple[int, int]:
        """The number of responses, and their bytes."""
        count, size = self._connection.execute("SELECT responses, bytes FROM totals").fetchone()
        return count, size

    def _items(self, id: str, side: Side) -> list[ItemRow]:
        rows: Iterator[tuple[str, bytes]] = self._connection.execute(
            "SELECT id, body FROM items WHERE response = ? AND side = ? ORDER BY position", (id, side)
        )
        return [ItemRow(item_id, body) for item_id, body in rows]

    def _use(self, ids: Sequence[str], now: float) -> None:
        """Note the use. A disk that cannot be written keeps no reader from what it holds."""
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("UPDATE responses SET used = ? WHERE id = ?", [(now, id) for id in ids])
        except sqlite3.OperationalError as error:
            if not is_full_disk(error):
                raise

    def _evict(self, now: float) -> None:
        self.purge(now)
        excess = self.usage()[1] - self._max_bytes
        if excess <= 0:
            return
        oldest: list[tuple[str]] = []
        for id, size in self._connection.execute("SELECT id, bytes FROM responses ORDER BY used"):
            oldest.append((id,))
            excess -= size
            if excess <= 0:
                break
        self._connection.executemany("DELETE FROM responses WHERE id = ?", oldest)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. SQLite itself does not wait here for another server that creates the file."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
