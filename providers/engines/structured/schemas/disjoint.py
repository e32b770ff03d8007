"""A proof that no value satisfies two JSON schemas. Where it holds for all branches, `oneOf` means `anyOf`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

__all__ = ["are_disjoint", "resolve", "same_value"]

MAX_STEPS = 20_000
"""Pairs of schemas to compare for one `oneOf`; beyond that, nothing is proved."""
_MAX_DEPTH = 16
"""Of references, and of schemas inside schemas; definitions may refer to themselves."""
_KINDS = {
    "null": frozenset({"null"}),
    "boolean": frozenset({"boolean"}),
    "integer": frozenset({"integer"}),
    "number": frozenset({"integer", "fraction"}),
    "string": frozenset({"string"}),
    "array": frozenset({"array"}),
    "object": frozenset({"object"}),
}
_ALL_KINDS = frozenset().union(*_KINDS.values())

Schema = dict[str, Any] | bool


def are_disjoint(root: dict[str, Any], branches: list[Any]) -> bool:
    """Whether it is certain that no value satisfies two of the branches. `root`: holds the definitions."""
    proof = _Proof(root)
    return all(proof.disjoint(one, other) for one, other in itertools.combinations(branches, 2))


def resolve(root: dict[str, Any], reference: Any) -> Any:
    """What a pointer from the root leads to; None if it is no such pointer, or leads nowhere."""
    if reference == "#":
        return root
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    target: Any = root
    for name in reference.removeprefix("#/").split("/"):
        step = name.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and step.isdecimal() and int(step) < len(target):
            target = target[int(step)]
        elif isinstance(target, dict) and step in target:
            target = target[step]
        else:
            return None
    return target


class _Proof:
    """Compares schemas by necessary conditions only, so that what it proves is certain."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._steps = MAX_STEPS
        self._depth = 0

    def disjoint(self, one: Any, other: Any) -> bool:
        self._steps -= 1
        if self._steps < 0 or self._depth == _MAX_DEPTH:
            return False
        self._depth += 1
        try:
            return self._compare(one, other)
        finally:
            self._depth -= 1

    def _compare(self, one: Any, other: Any) -> bool:
        if one is False or other is False:
            return True
        ones, others = list(self._conditions(one)), list(self._conditions(other))
        if any(self._conflict(a, b) for a in ones for b in others):
            return True
        return self._by_cases(ones, other) or self._by_cases(others, one)

    def _by_cases(self, conditions: list[dict[str, Any]], other: Any) -> bool:
        """Whether every alternative of an `anyOf` or `oneOf` among the conditions is disjoint from the other schema."""
        cases = [part.get(key) for part in conditions for key in ("anyOf", "oneOf")]
        return any(
            isinstance(listed, list) and bool(listed) and all(self.disjoint(case, other) for case in listed)
            for listed in cases
        )

    def _conditions(self, schema: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
        """Schemas that a value of this schema satisfies: itself, and what it references or combines."""
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return
        yield schema
        if "$ref" in schema:
            yield from self._conditions(resolve(self._root, schema["$ref"]), depth + 1)
        listed = schema.get("allOf")
        for part in listed if isinstance(listed, list) else ():
            yield from self._conditions(part, depth + 1)

    def _conflict(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        some, others = _values(one), _values(other)
        if some is not None and others is not None:
            return not {_key(value) for value in some} & {_key(value) for value in others}
        if some is not None:
            return not any(_admits(other, value) for value in some)
        if others is not None:
            return not any(_admits(one, value) for value in others)
        return all(self._conflict_in(kind, one, other) for kind in _kinds(one) & _kinds(other))

    def _conflict_in(self, kind: str, one: dict[str, Any], other: dict[str, Any]) -> bool:
        match kind:
            case "integer" | "fraction":
                return _apart(_range(one), _range(other))
            case "string":
                return _apart(_sizes(one, "Length"), _sizes(other, "Length"))
            case "array":
                return _apart(_sizes(one, "Items"), _sizes(other, "Items"))
            case "object":
                return self._objects_conflict(one, other) or self._objects_conflict(other, one)
        return False

    def _objects_conflict(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        """Whether a property that `one` requires cannot be in an object of `other`, or has another value there."""
        mine, theirs = _members(one), _members(other)
        closed = other.get("additionalProperties") is False and not other.get("patternProperties")
        needed_there = set(_names(other))
        for name in _names(one):
            if name not in theirs:
                if closed:
                    return True
            elif name in mine and name in needed_there and self.disjoint(mine[name], theirs[name]):
                return True
        return False


def _values(schema: dict[str, Any]) -> list[Any] | None:
    """The only values of the schema, if it lists them."""
    if "const" in schema:
        return [schema["const"]]
    listed = schema.get("enum")
    return listed if isinstance(listed, list) else None


def same_value(one: Any, other: Any) -> bool:
    """Whether JSON Schema takes two values for equal."""
    return bool(_key(one) == _key(other))


def _key(value: Any) -> Any:
    """Equal for values that JSON Schema takes for equal: 1 and 1.0, and neither is true."""
    if isinstance(value, list):
        return ("array", *map(_key, value))
    if isinstance(value, dict):
        return ("object", frozenset((name, _key(member)) for name, member in value.items()))
    return (isinstance(value, bool), value)


def _admits(schema: dict[str, Any], value: Any) -> bool:
    """Whether the value may satisfy the schema."""
    if _kind(value) not in _kinds(schema):
        return False
    size = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return not _apart(_range(schema), (value, False, value, False))
    if isinstance(value, str):
        size = _sizes(schema, "Length")
    elif isinstance(value, list):
        size = _sizes(schema, "Items")
    elif isinstance(value, dict):
        return set(_names(schema)) <= set(value)
    return size is None or not _apart(size, (len(value), False, len(value), False))


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) or value.is_integer() else "fraction"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _kinds(schema: dict[str, Any]) -> frozenset[str]:
    named = schema.get("type")
    names = named if isinstance(named, list) else [named]
    kinds = [_KINDS.get(name, _ALL_KINDS) if isinstance(name, str) else _ALL_KINDS for name in names]
    return frozenset().union(*kinds) if kinds else _ALL_KINDS


Interval = tuple[float, bool, float, bool]
"""(lower bound, whether it is excluded, upper bound, whether it is excluded)."""


def _range(schema: dict[str, Any]) -> Interval:
    low = max((_number(schema, "minimum", -math.inf), False), (_number(schema, "exclusiveMinimum", -math.inf), True))
    high = min((_number(schema, "maximum", math.inf), 1), (_number(schema, "exclusiveMaximum", math.inf), 0))
    return *low, high[0], not high[1]


def _sizes(schema: dict[str, Any], what: str) -> Interval:
    return _number(schema, f"min{what}", 0), False, _number(schema, f"max{what}", math.inf), False


def _number(schema: dict[str, Any], keyword: str, default: float) -> float:
    value = schema.get(keyword)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _apart(one: Interval, other: Interval) -> bool:
    low, low_open = max(one[:2], other[:2])
    high, high_closed = min((one[2], not one[3]), (other[2], not other[3]))
    return low > high or (low == high and (low_open or not high_closed) and math.isfinite(low))


def _members(schema: dict[str, Any]) -> dict[str, Any]:
    members = schema.get("properties")
    return members if isinstance(members, dict) else {}


def _names(schema: dict[str, Any]) -> list[str]:
    required = schema.get("required")
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
