"""Conditions on the attributes of files, which choose the files to search."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import MaxLen, MinLen

from contracts.bounds import MaxKeyLen

__all__ = ["AttributeValue", "Attributes", "ComparisonFilter", "CompoundFilter", "Filter"]

MAX_PARTS = 64
"""Conditions in one list, and values in one."""

AttributeValue = Annotated[str, MaxLen(512)] | float | bool
Attributes = Annotated[dict[str, AttributeValue], MaxLen(16), MaxKeyLen(64)]


@attrs.frozen(kw_only=True)
class ComparisonFilter:
    """A comparison of one attribute. A file without the attribute meets only `ne` and `nin`.

    `in` and `nin` take a list, `gt`, `gte`, `lt` and `lte` a number or a text.
    """

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: Annotated[str, MaxLen(64)]
    value: AttributeValue | Annotated[list[AttributeValue], MaxLen(MAX_PARTS)]


@attrs.frozen(kw_only=True)
class CompoundFilter:
    """Conditions of which all (`and`) or any (`or`) hold."""

    type: Literal["and", "or"]
    filters: Annotated[list[ComparisonFilter | CompoundFilter], MinLen(1), MaxLen(MAX_PARTS)]


Filter = ComparisonFilter | CompoundFilter
