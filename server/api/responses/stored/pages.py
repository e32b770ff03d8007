"""Pages of a list of items, in OpenAI's order."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.responses.items import StoredItem
from contracts.responses.response import ResponseItemList
from providers.errors import InvalidRequest

__all__ = ["MAX_LIMIT", "page"]

MAX_LIMIT = 100


def page(items: Iterable[StoredItem], *, limit: str, order: str, after: str | None) -> ResponseItemList:
    """The page of `limit` items that follows `after`. `items` are in ascending order.

    Raises:
        InvalidRequest: a value cannot be used, or the list has no item `after`.
    """
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= MAX_LIMIT):
        raise InvalidRequest(f"limit: must be a whole number from 1 to {MAX_LIMIT}", param="limit")
    if order not in ("asc", "desc"):
        raise InvalidRequest("order: expected one of 'asc', 'desc'", param="order")
    ordered = list(items) if order == "asc" else [*items][::-1]
    if after is not None:
        places = [place for place, item in enumerate(ordered) if item.id == after]
        if not places:
            raise InvalidRequest("after: this list has no such item", param="after")
        ordered = ordered[places[0] + 1 :]
    data = ordered[: int(limit)]
    return ResponseItemList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(ordered) > len(data),
    )
