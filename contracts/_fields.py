"""Field types and markers that contracts share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from contracts.bounds import OneOrUnlimited

__all__ = [
    "EXPLICIT_NULL",
    "INT32_MAX",
    "IN_FUNCTION",
    "OTHER_FIELDS",
    "Bias",
    "Count",
    "Fraction",
    "Half",
    "JsonObject",
    "JsonSchema",
    "JsonText",
    "Metadata",
    "ModelName",
    "Penalty",
    "SchemaValue",
    "Seconds",
    "Temperature",
    "Text",
    "TokenLimit",
    "TopK",
    "TopLogprobs",
]

EXPLICIT_NULL: Mapping[str, Any] = {"explicit_null": True}
"""Attribute metadata: write `null`. Other fields whose value is None are left out."""

OTHER_FIELDS: Mapping[str, Any] = {"other_fields": True}
"""Attribute metadata: an object's fields that its class does not have, which are read and written beside its own."""

IN_FUNCTION: Mapping[str, Any] = {"within": "function"}
"""Attribute metadata of any field: the object's fields may also be in its field `function`."""

INT32_MAX = 2**31 - 1

JsonObject = dict[str, Any]
SchemaValue = Annotated[Any, "JSON, whose integers may have more than 64 bits"]
JsonSchema = dict[str, SchemaValue]
JsonText = Annotated[str, "JSON, which clients also send as the value that it is the text of"]

Fraction = Annotated[float, Ge(0), Le(1)]
Half = Annotated[float, Ge(0), Le(0.5)]
Temperature = Annotated[float, Ge(0), Le(2)]
Penalty = Annotated[float, Ge(-2), Le(2)]
Bias = Annotated[float, Ge(-100), Le(100)]
Seconds = Annotated[float, Gt(0), Le(86_400)]
Count = Annotated[int, Ge(1), Le(INT32_MAX)]
TokenLimit = Annotated[int, OneOrUnlimited()]
TopK = Annotated[int, Ge(-1), Le(INT32_MAX)]
TopLogprobs = Annotated[int, Ge(0), Le(20)]
Text = Annotated[str, MinLen(1)]
ModelName = Annotated[str, MaxLen(1024)]
"""Empty: none is named."""
Metadata = Annotated[dict[str, Annotated[str, MaxLen(512)]], MaxLen(16)]
