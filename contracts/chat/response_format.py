"""The form of a chat's answer."""

from __future__ import annotations

from typing import Literal

import attrs

from contracts._fields import JsonSchema

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
    """Any JSON object, or with a schema, JSON that it accepts."""

    type: Literal["json_object"]
    schema: JsonSchema | None = None


@attrs.frozen(kw_only=True)
class JSONSchema:
    """A schema that the answer keeps to; unless it is `strict`, as far as a grammar can hold it."""

    name: str | None = None
    schema: JsonSchema | None = None
    description: str | None = None
    strict: bool | None = None


@attrs.frozen(kw_only=True)
class ResponseFormatJSONSchema:
    """JSON that the schema accepts: the one in `json_schema`, or `schema`."""

    type: Literal["json_schema"]
    json_schema: JSONSchema | None = None
    schema: JsonSchema | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


ResponseFormat = ResponseFormatText | ResponseFormatJSONObject | ResponseFormatJSONSchema
