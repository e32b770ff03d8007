"""The form of a chat's answer."""

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
    """A schema that the answer keeps to, `strict` or not. The name has only letters, digits, `_` and `-`."""

    name: SchemaName
    schema: JsonObject
    description: str | None = None
    strict: bool | None = None


@attrs.frozen(kw_only=True)
class ResponseFormatJSONSchema:
    """JSON that the schema accepts."""

    type: Literal["json_schema"]
    json_schema: JSONSchema


ResponseFormat = ResponseFormatText | ResponseFormatJSONObject | ResponseFormatJSONSchema
