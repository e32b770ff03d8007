"""Filters of searches, on the attributes of files."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from contracts.retrieval.filters import ComparisonFilter, CompoundFilter, Filter
from providers.errors import InvalidRequest

__all__ = ["check_filter", "matches"]

MAX_DEPTH = 8
_LISTS = ("in", "nin")
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def check_filter(filter: Filter, *, path: str = "filters", depth: int = 1) -> None:
    """Raises: InvalidRequest, unless each comparison has a value that it can compare."""
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"{path}: filters are nested more than {MAX_DEPTH} levels deep", param=path)
    if isinstance(filter, CompoundFilter):
        for index, part in enumerate(filter.filters):
            check_filter(part, path=f"{path}.filters[{index}]", depth=depth + 1)
        return
    if isinstance(filter.value, list) != (filter.type in _LISTS):
        expected = "a list" if filter.type in _LISTS else "one value"
        raise InvalidRequest(f"{path}.value: {filter.type!r} takes {expected}", param=f"{path}.value")
    if filter.type in _ORDERS and isinstance(filter.value, bool):
        raise InvalidRequest(f"{path}.value: {filter.type!r} takes a number or a text", param=f"{path}.value")


def matches(filter: Filter, attributes: Mapping[str, str | float | bool]) -> bool:
    """Whether a file with these attributes meets the filter. Values of different types are never equal or ordered."""
    if isinstance(filter, ComparisonFilter):
        return _compare(filter, attributes.get(filter.key))
    met = (matches(part, attributes) for part in filter.filters)
    return all(met) if filter.type == "and" else any(met)


def _compare(filter: ComparisonFilter, value: str | float | bool | None) -> bool:
    wanted = filter.value
    if isinstance(wanted, list):
        return any(_equal(value, one) for one in wanted) == (filter.type == "in")
    if filter.type in ("eq", "ne"):
        return _equal(value, wanted) == (filter.type == "eq")
    if value is None or isinstance(value, bool) or isinstance(value, str) != isinstance(wanted, str):
        return False
    return _ORDERS[filter.type](value, wanted)


def _equal(one: object, other: object) -> bool:
    """Equality as in JSON: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other
