"""Pages of lists that are ordered by creation."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

import attrs

from providers.errors import InvalidRequest

__all__ = ["Page", "PageRequest", "select_page"]

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class PageRequest:
    """Which part of a list: up to `limit` entries, after or before the entry of an id."""

    limit: int
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    before: str | None = None


@attrs.frozen
class Page(Generic[T]):
    """A part of a list."""

    rows: Sequence[T]
    has_more: bool


def select_page(
    connection: sqlite3.Connection,
    select: str,
    where: str,
    values: Sequence[Any],
    asked: PageRequest,
    *,
    key: str,
    id: str,
) -> Page[Any]:
    """The rows of `select … WHERE where`, in pages by the column `key`. The column `id` has what cursors name.

    Raises:
        InvalidRequest: the list has no entry of the id `after` or `before`.
    """
    values = [*values]
    conditions = [where]
    backwards = asked.after is None and asked.before is not None
    for name, cursor in (("after", asked.after), ("before", asked.before)):
        if cursor is None:
            continue
        found = connection.execute(
            f"{select} WHERE {where} AND {id} = ?", (*values[: where.count("?")], cursor)
        ).fetchone()
        if found is None:
            raise InvalidRequest(f"{name}: this list has no such entry", param=name)
        later = (asked.order == "asc") == (name == "after")
        conditions.append(f"{key} {'>' if later else '<'} ?")
        values.append(found[0])
    ascending = (asked.order == "asc") != backwards
    rows = connection.execute(
        f"{select} WHERE {' AND '.join(conditions)} ORDER BY {key} {'ASC' if ascending else 'DESC'} LIMIT ?",
        (*values, asked.limit + 1),
    ).fetchall()
    kept = rows[: asked.limit]
    return Page(kept[::-1] if backwards else kept, len(rows) > len(kept))
