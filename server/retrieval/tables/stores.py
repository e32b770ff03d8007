"""The table of vector stores."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from server.retrieval.tables.pages import Page, PageRequest, select_page
from server.retrieval.tables.rows import DAY, Counts, StoreRow

__all__ = ["StoreTable"]

_SELECT = "SELECT key, id, name, description, metadata, created, active, days, model FROM stores"


class StoreTable:
    """Reads and writes `stores`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(
        self,
        id: str,
        *,
        name: str,
        description: str | None,
        metadata: Mapping[str, str],
        days: int | None,
        model: str,
        now: int,
    ) -> None:
        self._connection.execute(
            "INSERT INTO stores (id, name, description, metadata, created, active, days, model) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (id, name, description, json.dumps(metadata), now, now, days, model),
        )

    def get(self, id: str) -> StoreRow | None:
        found = self._connection.execute(f"{_SELECT} WHERE id = ?", (id,)).fetchone()
        return None if found is None else self._row(*found)

    def page(self, asked: PageRequest) -> Page[StoreRow]:
        page = select_page(self._connection, _SELECT, "TRUE", [], asked, key="key", id="id")
        return Page([self._row(*found) for found in page.rows], page.has_more)

    def count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM stores").fetchone()[0])

    def update(self, key: int, changes: Mapping[str, Any], *, now: int) -> None:
        """Write these columns. Every update is a use."""
        columns = {**changes, "active": now}
        assignments = ", ".join(f"{name} = ?" for name in columns)
        self._connection.execute(f"UPDATE stores SET {assignments} WHERE key = ?", (*columns.values(), key))

    def delete(self, id: str) -> bool:
        """Returns whether it existed."""
        return self._connection.execute("DELETE FROM stores WHERE id = ?", (id,)).rowcount > 0

    def clear_expired(self, now: int) -> bool:
        """Delete what expired stores hold. Returns whether there was anything."""
        found = self._connection.execute(
            f"DELETE FROM store_files WHERE store IN (SELECT key FROM stores WHERE active + days * {DAY} <= ?)", (now,)
        )
        return found.rowcount > 0

    def _row(
        self,
        key: int,
        id: str,
        name: str,
        description: str | None,
        metadata: str,
        created: int,
        active: int,
        days: int | None,
        model: str,
    ) -> StoreRow:
        by_status = self._connection.execute(
            "SELECT status, count(*), sum(bytes) FROM store_files WHERE store = ? GROUP BY status", (key,)
        ).fetchall()
        return StoreRow(
            key=key,
            id=id,
            name=name,
            description=description,
            metadata=json.loads(metadata),
            created=created,
            active=active,
            days=days,
            model=model,
            counts=Counts(**{status: count for status, count, _ in by_status}),
            bytes=sum(size for _, _, size in by_status),
        )
