"""JSON schemas in forms that llguidance takes: with the same meaning, or without what a grammar cannot hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import attrs

from providers.engines.structured.disjoint import are_disjoint
from providers.engines.structured.schema import Fault, Path, walk

__all__ = ["SchemaForm"]

_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "unknown"}
)
"""Formats that llguidance holds. JSON Schema lets others pass: a format is a note."""
_UNHELD = (
    *("not", "if", "then", "else", "contains", "minContains", "maxContains", "uniqueItems", "propertyNames"),
    *("dependencies", "dependentRequired", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems"),
    *("$dynamicRef", "$recursiveRef"),
)
"""Keywords that llguidance refuses wherever they stand."""
_GIVEN_UP = frozenset(
    {*_UNHELD, "oneOf", "pattern", "patternProperties", "format", "minProperties", "multipleOf", "$ref"}
)
"""Keywords without which a schema accepts more, and still says most of what it means."""
_BOUNDS = {"minimum": 1, "exclusiveMinimum": 1, "maximum": -1, "exclusiveMaximum": -1}
"""Keyword to the direction that is inside."""
_APPLICATORS = frozenset({"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"})
_UNBOUNDED = 1e300
"""A bound beyond this is the end of floating point, which programs write for "no bound"."""
_LARGEST = 9223372036854774784
"""The largest floating-point number below 2^63. llguidance counts in 64 bits with a sign."""
_EXACT = 2**53


@attrs.define(eq=False)
class SchemaForm:
    """A copy of a client's schema that is changed into a form which llguidance takes."""

    schema: dict[str, Any]
    given_up: list[Path] = attrs.field(factory=list)
    """Where keywords were given up, in the client's schema."""
    _turned: set[Path] = attrs.field(factory=set)
    """Where `oneOf` became `anyOf`."""

    @classmethod
    def of(cls, schema: dict[str, Any]) -> SchemaForm:
        """The schema with the same meaning. It is JSON, as `check` found."""
        form = cls(json.loads(json.dumps(schema)))
        referenced = any("/oneOf" in str(part.get("$ref")) for _, part in walk(form.schema))
        for path, part in walk(form.schema):
            _drop_no_ops(part)
            _round_bounds(part)
            branches = part.get("oneOf")
            # A pointer through `oneOf` would lead nowhere.
            if isinstance(branches, list) and not referenced and are_disjoint(form.schema, branches):
                form._turn(path, part)
        return form

    def give_up_unheld(self, refuses: Callable[[str], bool]) -> None:
        """Give up what no grammar holds. `refuses`: whether llguidance refuses a regular expression."""
        for path, part in walk(self.schema):
            for keyword in _UNHELD:
                self._drop(path, part, keyword)
            if isinstance(part.get("pattern"), str) and refuses(part["pattern"]):
                self._drop(path, part, "pattern")
            named = part.get("patternProperties")
            if isinstance(named, dict) and any(map(refuses, named)):
                self._drop(path, part, "patternProperties")

    def give_up(self, fault: Fault) -> bool:
        """Give up the keyword of this fault. Returns whether that can be."""
        part: Any = self.schema
        for step in fault.path:
            part = part[step]
        keyword = fault.keyword
        too_wide = keyword in _BOUNDS and "Failed to generate regex" in fault.message
        if keyword is None or "nsatisfiable" in fault.message or not (keyword in _GIVEN_UP or too_wide):
            return False
        if keyword == "oneOf" and isinstance(part["oneOf"], list) and "anyOf" not in part:
            self.given_up.append((*self.path(fault.path), keyword))
            self._turn(fault.path, part)
            return True
        return self._drop(fault.path, part, keyword)

    def path(self, path: Path) -> Path:
        """The path in the client's schema of a path in this one."""
        return tuple("oneOf" if step == "anyOf" and path[:at] in self._turned else step for at, step in enumerate(path))

    def _drop(self, path: Path, part: dict[str, Any], keyword: str) -> bool:
        if keyword not in part:
            return False
        del part[keyword]
        self.given_up.append((*self.path(path), keyword))
        return True

    def _turn(self, path: Path, part: dict[str, Any]) -> None:
        if "anyOf" not in part:
            # In the same place, so that the properties keep their order.
            items = [("anyOf" if key == "oneOf" else key, value) for key, value in part.items()]
            part.clear()
            part.update(items)
            self._turned.add(path)


def _drop_no_ops(part: dict[str, Any]) -> None:
    """Remove keywords that mean nothing as they stand."""
    if part.get("uniqueItems") is False:
        del part["uniqueItems"]
    if part.get("not") is False:
        del part["not"]
    for keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
        if part.get(keyword) == {}:
            del part[keyword]
    if _is_any(part.get("propertyNames")) or part.get("propertyNames") == {"type": "string"}:
        del part["propertyNames"]
    _drop_contains(part)
    _drop_conditions(part)
    _drop_unevaluated(part)
    if "format" in part and part["format"] not in _FORMATS:
        del part["format"]


def _is_any(schema: Any) -> bool:
    return schema is True or schema == {}


def _drop_contains(part: dict[str, Any]) -> None:
    if "contains" not in part:
        part.pop("minContains", None)
        part.pop("maxContains", None)
    elif part.get("minContains") == 0 and "maxContains" not in part:
        del part["contains"], part["minContains"]


def _drop_conditions(part: dict[str, Any]) -> None:
    branches = [name for name in ("then", "else") if name in part and not _is_any(part[name])]
    if "if" not in part or not branches:
        for keyword in ("if", "then", "else"):
            part.pop(keyword, None)


def _drop_unevaluated(part: dict[str, Any]) -> None:
    for keyword in ("unevaluatedProperties", "unevaluatedItems"):
        if _is_any(part.get(keyword)):
            del part[keyword]
    if part.get("unevaluatedProperties") is False and _APPLICATORS.isdisjoint(part):
        del part["unevaluatedProperties"]
        part.setdefault("additionalProperties", False)


def _round_bounds(part: dict[str, Any]) -> None:
    """Make bounds numbers that llguidance has: it takes them as floating point, and integers in 64 bits. A bound moves
    inside, so that every answer is still valid."""
    for keyword, inside in _BOUNDS.items():
        bound = part.get(keyword)
        if isinstance(bound, bool) or not isinstance(bound, int | float) or abs(bound) <= _EXACT:
            continue
        if bound * inside > _LARGEST:
            continue  # No number inside can be written: llguidance refuses it.
        if bound * inside < -_UNBOUNDED:
            del part[keyword]
        elif abs(bound) > _LARGEST:
            part[keyword] = -inside * _LARGEST
        elif (float(bound) - bound) * inside < 0:
            part[keyword] = int(math.nextafter(float(bound), inside * math.inf))
