"""Random JSON schemas, sensible ones and random combinations of keywords, and a check of what they accept."""

from __future__ import annotations

import functools
import json
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

import jsonschema
from hypothesis import strategies as st

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
NAMES = st.sampled_from(["a", "b", "name", "Straße", 'quo"te', "back\\slash", "new\nline", "", "a/b", "😀", "\x7f"])
NUMBERS = st.integers(-1000, 1000) | st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
VALUES = st.none() | st.booleans() | NUMBERS | TEXT | st.lists(st.integers(0, 9), max_size=2)
PATTERNS = ["^[a-z]+$", "[0-9]{2,3}", "^(ja|nein)$", "é|ü", r"^\d{3}-\d{4}$", r"\.", r"^\w*$", "/", '"']
FORMATS = ["date", "date-time", "time", "duration", "uuid", "ipv4", "ipv6", "email", "hostname", "uri"]


def schemas(depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas up to `depth` levels, with references to definitions of their own and to themselves."""
    inner = _any_of(depth)
    unsupported = _objects(_any_of(depth - 1) | _unsupported(_any_of(0)))
    return st.sampled_from([inner] * 6 + [_with_definitions(inner), unsupported, st.just(_TREE)]).flatmap(lambda s: s)


_TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}


def _with_definitions(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda one, other: {
            "type": "object",
            "properties": {"x": {"$ref": "#/$defs/one"}, "y": {"type": "array", "items": {"$ref": "#/$defs/o~1ther"}}},
            "required": ["x", "y"],
            "$defs": {"one": one, "o/ther": other},
        },
        inner,
        inner,
    )


def _any_of(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    leaves = [_strings(), _numbers(), _values()]
    if depth == 0:
        return st.one_of(*leaves)
    inner = _any_of(depth - 1)
    return st.one_of(*leaves, _objects(inner), _objects(inner), _arrays(inner), _combined(inner))


def _some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({key: st.just(value) for key, value in required.items()}, optional=optional)


def _strings() -> st.SearchStrategy[dict[str, Any]]:
    lengths = {"minLength": st.integers(0, 4), "maxLength": st.integers(0, 12)}
    return st.one_of(
        _some({"type": "string"}, lengths),
        _some({"type": "string"}, {"pattern": st.sampled_from(PATTERNS), **lengths}),
        _some({"type": "string"}, {"format": st.sampled_from(FORMATS)}),
    )


def _numbers() -> st.SearchStrategy[dict[str, Any]]:
    bounds = dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), NUMBERS)
    return st.one_of(
        _some({"type": "integer"}, {**bounds, "multipleOf": st.integers(1, 20)}),
        _some({"type": "number"}, {**bounds, "multipleOf": st.sampled_from([0.01, 0.5, 3, 2.5])}),
    )


def _values() -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.lists(VALUES, min_size=1, max_size=4).map(lambda values: {"enum": values}),
        VALUES.map(lambda value: {"const": value}),
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["integer", "null"]}, {}]),
    )


def _objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(NAMES, inner, max_size=4).flatmap(
        lambda properties: _some(
            {"type": "object", "properties": properties},
            {
                "required": st.lists(st.sampled_from([*properties, "extra"]), unique=True, max_size=4),
                "additionalProperties": st.booleans() | inner,
                "patternProperties": st.builds(lambda value: {"^x-": value}, inner),
                "minProperties": st.integers(0, 3),
                "maxProperties": st.integers(0, 5),
            },
        )
    )


def _arrays(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    sizes = {"minItems": st.integers(0, 3), "maxItems": st.integers(0, 5)}
    return st.one_of(
        _some({"type": "array"}, {"items": inner | st.booleans(), **sizes}),
        _some({"type": "array"}, {"prefixItems": st.lists(inner, min_size=1, max_size=2), "items": inner, **sizes}),
    )


def _combined(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(*(several.map(lambda found, key=key: {key: found}) for key in ("anyOf", "oneOf", "allOf")))


def _unsupported(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        inner.map(lambda found: {"not": found}),
        inner.map(lambda found: {"type": "array", "items": found, "uniqueItems": True}),
        inner.map(lambda found: {"type": "array", "contains": found}),
        inner.map(lambda found: {"if": found, "then": {"type": "string"}}),
    )


def wild_schemas(depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Random combinations of keywords: often unsatisfiable, sometimes invalid."""
    inner = wild_schemas(depth - 1) | st.booleans() if depth else st.booleans()
    several = st.lists(inner, max_size=2)
    kinds = st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"])
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "type": kinds | st.lists(kinds, unique=True, max_size=3),
        "enum": st.lists(VALUES, max_size=3),
        "const": VALUES,
        "multipleOf": NUMBERS,
        "pattern": st.sampled_from([*PATTERNS, "(", "a(?=b)", "[", "\\"]),
        "format": st.sampled_from([*FORMATS, "colour"]),
        "uniqueItems": st.booleans(),
        "required": st.lists(NAMES, unique=True, max_size=2),
        "properties": st.dictionaries(NAMES, inner, max_size=2),
        "$ref": st.sampled_from(["#", "#/properties/a", "#/nowhere", "https://example.org/schema"]),
    }
    for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        keywords[name] = NUMBERS
    for name in ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"):
        keywords[name] = st.integers(-1, 9)
    for name in ("items", "additionalProperties", "not", "contains", "propertyNames"):
        keywords[name] = inner
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        keywords[name] = several
    names = st.lists(st.sampled_from(sorted(keywords)), unique=True, min_size=1, max_size=4)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: keywords[name] for name in chosen}))


def assert_valid(text: str, schema: Any) -> None:
    """Compare as decimal numbers: in floating point, 0.3 is not a multiple of 0.1."""
    exact = functools.partial(json.loads, parse_float=_number)
    with localcontext(prec=2000):
        jsonschema.Draft202012Validator(exact(json.dumps(schema))).validate(exact(text))


def _number(text: str) -> Decimal | float:
    """The exact number, except for an exponent of about twenty digits: that is JSON too, and readers make infinity or
    zero of it."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return float(text)
