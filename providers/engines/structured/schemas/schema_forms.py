"""JSON schemas in forms that llguidance takes: with the same meaning, or without what a grammar cannot hold."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from providers.engines.structured.schemas.disjoint import are_disjoint, resolve
from providers.engines.structured.schemas.rewriting import REWRITTEN, rewritten
from providers.engines.structured.schemas.schema import (
    BOUNDS,
    LARGEST,
    Fault,
    Path,
    at,
    circular,
    followed,
    siblings,
    walk,
)

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
_LIMIT = re.compile(
    r"circular|stack level|too large|too complex|too many|more than|may exceed|not disjoint|supported|held only|fuel"
    r"|nable to determine|Failed to generate|^invalid regular"
)
"""Messages about what llguidance or this server cannot do. Others are about schemas that are none, or that no value
satisfies."""
_IGNORES_SIBLINGS = re.compile(r"draft-0[3-7]")
"""Versions of JSON Schema in which `$ref` makes the keywords beside it void."""
_OTHERS = {
    "properties": "additionalProperties",
    "patternProperties": "additionalProperties",
    "prefixItems": "items",
}
"""Keyword to the one that speaks of what the first does not list, and means nothing without it."""
_SIZES = tuple(f"{side}{what}" for side in ("min", "max") for what in ("Length", "Items", "Properties", "Contains"))
_APPLICATORS = frozenset({"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"})
_UNBOUNDED = 1e300
"""A bound beyond this is the end of floating point, which programs write for "no bound"."""
_EXACT = 2**53
_UNREACHED = 2**32
"""No answer has this number of characters, items or properties."""


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
            _drop_implied_type(form.schema, part)
            _round_bounds(part)
            branches = part.get("oneOf")
            # A pointer through `oneOf` would lead nowhere.
            if isinstance(branches, list) and not referenced and are_disjoint(form.schema, branches):
                form._turn(path, part)
        return form

    def rewrite(self) -> bool:
        """Write keywords that llguidance refuses with those that it takes. Returns whether there were any."""
        found = False
        for path, part in list(walk(self.schema)):
            for keyword in (*REWRITTEN, "oneOf"):
                if keyword not in part or (keyword == "oneOf" and path in self._turned):
                    continue
                added = rewritten(self.schema, part, keyword)
                if added is not None and isinstance(part.get("allOf", []), list):
                    found = True
                    for name in (keyword, "then", "else") if keyword == "if" else (keyword,):
                        part.pop(name, None)
                    if keyword == "propertyNames":
                        part.pop("additionalProperties", None)
                    part["allOf"] = [*part.get("allOf", []), *added]
        return found

    def give_up_unheld(self, refuses: Callable[[str], bool], *, rewrites: bool) -> None:
        """Give up what no grammar holds. `refuses`: whether llguidance refuses a regular expression. `rewrites`: what
        `rewrite` can write otherwise is kept."""
        documents = {str(part.get("$id") or part.get("id")).partition("#")[0] for _, part in walk(self.schema)}
        for path, part in walk(self.schema):
            kept = _rewritable(self.schema, part) if rewrites else frozenset()
            for keyword in _UNHELD:
                if keyword not in kept:
                    self._drop(path, part, keyword)
            document = str(part.get("$ref", "")).partition("#")[0]
            if document and not any(name.endswith(document) for name in documents):
                self._drop(path, part, "$ref")
            if "pattern" not in kept and isinstance(part.get("pattern"), str) and refuses(part["pattern"]):
                self._drop(path, part, "pattern")
            named = part.get("patternProperties")
            if isinstance(named, dict) and any(map(refuses, named)):
                self._drop(path, part, "patternProperties")

    def simplify(self, fault: Fault) -> bool:
        """Remove what causes this fault and means nothing. Returns whether anything was removed."""
        pointer = circular(fault.message)
        old = _IGNORES_SIBLINGS.search(str(self.schema.get("$schema")))
        return bool(old) and pointer is not None and self._separate(pointer, silently=True)

    def give_up(self, fault: Fault) -> bool:
        """Give up the keyword of this fault, or all that its place has. Returns whether that can be."""
        if "nsatisfiable" in fault.message or not _LIMIT.search(fault.message):
            return False
        pointer = circular(fault.message)
        if pointer is not None and (self._separate(pointer, silently=False) or self._cut(pointer)):
            return True
        if "only references inside" in fault.message and self._drop_documents():
            return True
        part, keyword = at(self.schema, fault.path), fault.keyword
        if keyword is None or keyword == "type":
            return self._give_up_all(fault.path, part)
        if keyword == "oneOf" and isinstance(part["oneOf"], list) and "anyOf" not in part:
            self.given_up.append((*self.path(fault.path), keyword))
            self._turn(fault.path, part)
            return True
        if keyword in _OTHERS:
            part.pop(_OTHERS[keyword], None)
        values = [part["const"]] if keyword == "const" else part["enum"] if keyword == "enum" else None
        if values is not None and "type" not in part:
            part["type"] = sorted(set(map(_type, values)))
        return self._drop(fault.path, part, keyword)

    def give_up_rest(self) -> None:
        """Give up all but the type of the whole."""
        self.given_up = []
        self._give_up_all((), self.schema)

    def _give_up_all(self, path: Path, part: dict[str, Any]) -> bool:
        lost = [keyword for keyword in ("$ref", *siblings(part)) if keyword in part and keyword != "type"]
        for keyword in lost:
            del part[keyword]
        self.given_up += [self.path(path)] if lost else []
        return bool(lost)

    def _separate(self, pointer: str, *, silently: bool) -> bool:
        """Leave references to the pointer without the keywords beside them."""
        lost = False
        for path, part in self._references(pointer, ()):
            for keyword in siblings(part):
                if silently:
                    lost = True
                    del part[keyword]
                elif keyword != "type":
                    lost = self._drop(path, part, keyword)
        return lost

    def _cut(self, pointer: str) -> bool:
        """Give up the references by which a definition contains itself."""
        start = followed(self.schema, f"#{pointer}")
        found = [] if start is None else list(self._references(pointer, start))
        for path, part in found:
            types = _implied_types(self.schema, part)
            self._drop(path, part, "$ref")
            if types is not None and "type" not in part:
                part["type"] = sorted(types)
        return bool(found)

    def _drop_documents(self) -> bool:
        """Give up every reference that names a document."""
        found = [(path, part) for path, part in walk(self.schema) if not str(part.get("$ref", "#")).startswith("#")]
        for path, part in found:
            self._drop(path, part, "$ref")
        return bool(found)

    def _references(self, pointer: str, start: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path, part in walk(self.schema, start):
            _, mark, target = str(part.get("$ref")).partition("#")
            if mark and target == pointer:
                yield path, part

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


def _rewritable(root: dict[str, Any], part: dict[str, Any]) -> frozenset[str]:
    """The keywords of the part that can be written otherwise."""
    found = {keyword for keyword in REWRITTEN if keyword in part and rewritten(root, part, keyword) is not None}
    return frozenset(found | {"then", "else"} if "if" in found else found)


def _type(value: Any) -> str:
    """The name of the type of a JSON value."""
    if isinstance(value, bool):
        return "boolean"
    names = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _drop_no_ops(part: dict[str, Any]) -> None:
    """Remove keywords that mean nothing as they stand."""
    _normalize_sizes(part)
    if part.get("uniqueItems") is True and part.get("maxItems") in (0, 1):
        del part["uniqueItems"]
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


def _normalize_sizes(part: dict[str, Any]) -> None:
    """Write sizes as integers that llguidance reads, and drop bounds that no value reaches."""
    for keyword in _SIZES:
        size = part.get(keyword)
        if isinstance(size, float) and size.is_integer():
            part[keyword] = size = int(size)
        if isinstance(size, int) and not isinstance(size, bool) and keyword.startswith("max") and size > _UNREACHED:
            del part[keyword]


def _is_any(schema: Any) -> bool:
    return schema is True or schema == {}


def _drop_implied_type(root: dict[str, Any], part: dict[str, Any]) -> None:
    """Remove a type that everything beside it implies. References with nothing beside them may be circular."""
    beside = [keyword for keyword in ("$ref", *siblings(part)) if keyword in part and keyword != "type"]
    if "type" in part and beside in (["$ref"], ["anyOf"], ["oneOf"]):
        implied = _implied_types(root, {keyword: part[keyword] for keyword in beside})
        if implied is not None and implied <= _types(part):
            del part["type"]


def _implied_types(root: dict[str, Any], schema: Any, depth: int = 8) -> set[str] | None:
    """Types one of which all values of the schema have; None: they may have any."""
    if not isinstance(schema, dict) or not depth:
        return None
    if "$ref" in schema:
        return _implied_types(root, resolve(root, schema["$ref"]), depth - 1)
    if "type" in schema:
        return _types(schema)
    branches = schema.get("anyOf") or schema.get("oneOf")
    found = [_implied_types(root, branch, depth - 1) for branch in branches] if isinstance(branches, list) else [None]
    return set().union(*filter(None, found)) if None not in found else None


def _types(part: dict[str, Any]) -> set[str]:
    named = part["type"]
    return set(map(str, named)) if isinstance(named, list) else {str(named)}


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
    for keyword, inside in BOUNDS.items():
        bound = part.get(keyword)
        if isinstance(bound, bool) or not isinstance(bound, int | float) or abs(bound) <= _EXACT:
            continue
        if bound * inside > LARGEST:
            continue  # No number inside can be written: llguidance refuses it.
        if bound * inside < -_UNBOUNDED:
            del part[keyword]
        elif abs(bound) > LARGEST:
            part[keyword] = -inside * LARGEST
        elif (float(bound) - bound) * inside < 0:
            part[keyword] = int(math.nextafter(float(bound), inside * math.inf))
