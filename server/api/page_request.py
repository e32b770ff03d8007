"""The part of a list that a request asks for, from its query."""

from __future__ import annotations

from typing import Annotated

from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import Parameter

from providers.errors import InvalidRequest
from server.retrieval.tables.pages import PageRequest

__all__ = ["MAX_LIMIT", "After", "Before", "Limit", "Order", "page_request"]

MAX_LIMIT = 100

# `limit` and `order` are read as text, so that errors in them have our envelope and their name. The document describes
# their real types.
Limit = Annotated[
    str,
    Parameter(
        description="The number of entries.",
        schema_extra={"type": OpenAPIType.INTEGER, "minimum": 1, "maximum": MAX_LIMIT, "default": 20},
    ),
]
Order = Annotated[str, Parameter(description="`desc`: the newest first.", schema_extra={"enum": ["asc", "desc"]})]
After = Annotated[str | None, Parameter(description="The id of the entry before the page.")]
Before = Annotated[str | None, Parameter(description="The id of the entry behind the page.")]


def page_request(
    limit: str, order: str, after: str | None, before: str | None = None, *, max_limit: int = MAX_LIMIT
) -> PageRequest:
    """Raises: InvalidRequest, where a value cannot be used."""
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 5 and 1 <= int(limit) <= max_limit):
        raise InvalidRequest(f"limit: must be a whole number from 1 to {max_limit}", param="limit")
    if order == "asc":
        return PageRequest(limit=int(limit), order="asc", after=after or None, before=before or None)
    if order != "desc":
        raise InvalidRequest("order: expected one of 'asc', 'desc'", param="order")
    return PageRequest(limit=int(limit), order="desc", after=after or None, before=before or None)
