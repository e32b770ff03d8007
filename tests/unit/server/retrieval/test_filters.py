"""Filters of searches: comparisons of every kind, and those that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.retrieval.filters import Filter
from providers.errors import InvalidRequest
from server.retrieval.filters import check_filter, matches
from server.serialization import converter

FILE = {"kind": "cat", "year": 2020.0, "draft": True}


def comparison(type: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": type, "key": key, "value": value}


def read(given: dict[str, Any]) -> Filter:
    made: Filter = converter.structure(given, Filter)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("filter", "met"),
    [
        (comparison("eq", "kind", "cat"), True),
        (comparison("eq", "year", 2020), True),
        (comparison("eq", "draft", 1), False),
        (comparison("eq", "draft", True), True),
        (comparison("eq", "none", "cat"), False),
        (comparison("ne", "kind", "cat"), False),
        (comparison("ne", "none", "cat"), True),
        (comparison("gt", "year", 2019), True),
        (comparison("gte", "year", 2020), True),
        (comparison("lt", "year", 2020), False),
        (comparison("lte", "year", 2020), True),
        (comparison("gt", "year", "2019"), False),
        (comparison("gt", "kind", "bat"), True),
        (comparison("lt", "draft", 5), False),
        (comparison("lt", "none", 5), False),
        (comparison("in", "kind", ["dog", "cat"]), True),
        (comparison("in", "kind", []), False),
        (comparison("nin", "kind", ["dog", "cat"]), False),
        (comparison("nin", "none", ["dog"]), True),
        ({"type": "and", "filters": [comparison("eq", "kind", "cat"), comparison("gt", "year", 2020)]}, False),
        ({"type": "or", "filters": [comparison("eq", "kind", "cat"), comparison("gt", "year", 2020)]}, True),
    ],
)
def test_a_filter_chooses_by_attributes(filter: dict[str, Any], met: bool) -> None:
    check_filter(read(filter))
    assert matches(read(filter), FILE) is met


def nested(levels: int) -> dict[str, Any]:
    filter = comparison("eq", "kind", "cat")
    for _ in range(levels - 1):
        filter = {"type": "and", "filters": [filter]}
    return filter


@pytest.mark.parametrize(
    ("filter", "param"),
    [
        (comparison("in", "kind", "cat"), "filters.value"),
        (comparison("eq", "kind", ["cat"]), "filters.value"),
        (comparison("gt", "kind", True), "filters.value"),
        ({"type": "or", "filters": [comparison("eq", "a", 1), comparison("lt", "a", [1])]}, "filters.filters[1].value"),
        (nested(9), "filters" + ".filters[0]" * 8),
    ],
)
def test_a_filter_that_cannot_be_used_is_named(filter: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_filter(read(filter))
    assert refused.value.param == param
    check_filter(read(nested(8)))
