"""The form that a chat's answer must have."""

from __future__ import annotations

from typing import Literal

import attrs

from contracts._fields import JsonObject, SchemaName

__all__ = [
    "JSONSchema",
    "ResponseFormat",
    "ResponseFormatJSONObject",
    "ResponseFormatJSONSchema",
    "ResponseFormatText",
]


@attrs.frozen(kw_only=True)
class ResponseFormatText:
    """Any text."""

    type: Literal["text"]


@attrs.frozen(kw_only=True)
class ResponseFormatJSONObject:
    """Any JSON object."""

    type: Literal["json_object"]


@attrs.frozen(kw_only=True)
class JSONSchema:
    """A schema that the answer is held to, `strict` or not. The name has letters, digits, `_` and `-` alone."""

    name: SchemaName
    schema: JsonObject
    description: str | None = None
    strict: bool | None = None


@attrs.frozen(kw_only=True)
class ResponseFormatJSONSchema:
    """JSON that a schema accepts."""

    type: Literal["json_schema"]
    json_schema: JSONSchema


ResponseFormat = ResponseFormatText | ResponseFormatJSONObject | ResponseFormatJSONSchema
