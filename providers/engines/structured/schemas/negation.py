"""The values that a JSON schema refuses, as a schema. llguidance has no negation: `not`, `if`, `dependencies` and a
`oneOf` whose branches overlap are held where the negation of what they name has a form."""

from __future__ import annotations

from typing import Any

from providers.engines.structured.schemas.disjoint import resolve, same_value
from providers.engines.structured.schemas.schema import siblings

__all__ = ["Schema", "all_of", "any_of", "negation"]

Schema = dict[str, Any] | bool
_TYPES = ("null", "boolean", "number", "string", "array", "object")
_BOUNDS = {
    "minimum": "exclusiveMaximum",
    "maximum": "exclusiveMinimum",
    "exclusiveMinimum": "maximum",
    "exclusiveMaximum": "minimum",
}
_SIZES = {
    "minLength": ("string", "maxLength", -1),
    "maxLength": ("string", "minLength", 1),
    "minItems": ("array", "maxItems", -1),
    "maxItems": ("array", "minItems", 1),
}
_MAX_DEPTH = 8


def negation(root: dict[str, Any], schema: Any, base: Any = True, depth: int = _MAX_DEPTH) -> Schema | None:
    """A schema of exactly those values of `base` that `schema` refuses; None: there is no form for it.

    `root`: holds the definitions. `base`: a schema that the values satisfy anyway.
    """
    if isinstance(schema, bool):
        return not schema
    if not isinstance(schema, dict) or not depth:
        return None
    keywords = [keyword for keyword in ("$ref", *siblings(schema)) if keyword in schema]
    if "$ref" in keywords and len(keywords) > 1:
        return None  # Whether the others count depends on the version of JSON Schema.
    found = [_without(root, keyword, schema, base, depth - 1) for keyword in keywords]
    return any_of([part for part in found if part is not None]) if None not in found else None


def any_of(schemas: list[Schema]) -> Schema:
    """What one of the schemas accepts."""
    left = [schema for schema in schemas if schema is not False]
    if not left or True in left:
        return bool(left)
    return left[0] if len(left) == 1 else {"anyOf": left}


def all_of(schemas: list[Schema]) -> Schema:
    """What all schemas accept."""
    left = [schema for schema in schemas if schema is not True]
    if not left or False in left:
        return not left
    return left[0] if len(left) == 1 else {"allOf": left}


def _without(root: dict[str, Any], keyword: str, schema: dict[str, Any], base: Any, depth: int) -> Schema | None:
    """The values that this keyword of the schema refuses."""
    value = schema[keyword]
    match keyword:
        case "$ref":
            return negation(root, resolve(root, value), base, depth)
        case "type":
            return _other_types(value)
        case "const":
            return _other_values([value], base)
        case "enum" if isinstance(value, list):
            return _other_values(value, base)
        case "not":
            return value if isinstance(value, dict | bool) else None
        case "required" if isinstance(value, list):
            return any_of([{"type": "object", "properties": {str(name): False}} for name in value])
        case "properties" if isinstance(value, dict):
            return _other_members(root, value, base, depth)
        case "anyOf" | "allOf" if isinstance(value, list):
            found = [negation(root, branch, base, depth) for branch in value]
            parts = [part for part in found if part is not None]
            return None if len(parts) < len(found) else all_of(parts) if keyword == "anyOf" else any_of(parts)
    return _beyond(keyword, value)


def _other_types(named: Any) -> Schema | None:
    names = set(map(str, named)) if isinstance(named, list) else {str(named)}
    if not names <= {*_TYPES, "integer"} or ("integer" in names and "number" not in names):
        return None
    others = [name for name in _TYPES if name not in names]
    return {"type": others} if others else False


def _other_values(values: list[Any], base: Any) -> Schema | None:
    allowed = base.get("enum", [base["const"]] if "const" in base else None) if isinstance(base, dict) else None
    if isinstance(allowed, list):
        left = [one for one in allowed if not any(same_value(one, value) for value in values)]
        return {"enum": left} if left else False
    if not all(isinstance(value, bool) or value is None for value in values):
        return None
    flags = [flag for flag in (True, False) if not any(value is flag for value in values)]
    taken = {"boolean", "null"} if None in values else {"boolean"}
    return any_of([{"type": [name for name in _TYPES if name not in taken]}, {"enum": flags} if flags else False])


def _other_members(root: dict[str, Any], members: dict[str, Any], base: Any, depth: int) -> Schema | None:
    known = base.get("properties") if isinstance(base, dict) else None
    parts: list[Schema] = []
    for name, member in members.items():
        other = negation(root, member, known.get(name, True) if isinstance(known, dict) else True, depth)
        if other is None:
            return None
        if other is not False:
            parts.append({"type": "object", "properties": {name: other}, "required": [name]})
    return any_of(parts)


def _beyond(keyword: str, value: Any) -> Schema | None:
    """What a bound refuses."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if keyword in _BOUNDS:
        return {"type": "number", _BOUNDS[keyword]: value}
    if keyword not in _SIZES or value < 0 or value != int(value):
        return None
    kind, other, step = _SIZES[keyword]
    return {"type": kind, other: int(value) + step} if value + step >= 0 else False
