"""JSON schemas before and after llguidance: schemas that would compile too slowly are refused first, and llguidance's
errors are traced to a keyword and a place."""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, TypeGuard
from urllib.parse import unquote

import attrs

__all__ = [
    "BOUNDS",
    "LARGEST",
    "Fault",
    "Path",
    "at",
    "check",
    "circular",
    "explain",
    "followed",
    "place",
    "readable",
    "siblings",
    "walk",
]

Path = tuple[str | int, ...]
Compile = Callable[[dict[str, Any]], str]
"""From a schema to llguidance's error, which is empty if the schema is supported."""

MAX_TEXT = 256 * 1024
"""Characters of a schema as JSON."""
MAX_DEPTH = 128
"""Levels of a schema as JSON; llguidance reads fewer. How many Python itself takes depends on its version."""
MAX_OPTIONAL = 1000
"""Optional properties of one object. Compile time is quadratic in them (0.4 s for 1,000 on two cores)."""
MAX_PATTERN_PROPERTIES = 100
"""Of one object. Patterns are compared in pairs (1.4 s for 200)."""
MAX_MULTIPLE = 20_000
"""`multipleOf` in units of its last decimal, which is how many states its automaton has (0.3 s for 20,000)."""
MAX_COMBINED_MULTIPLE = 100_000
"""The same where schemas may be intersected, for the least common multiple of their values."""
BOUNDS = {"minimum": 1, "exclusiveMinimum": 1, "maximum": -1, "exclusiveMaximum": -1}
"""Keyword to the direction that is inside."""
LARGEST = 9223372036854774784
"""The largest floating-point number below 2^63. llguidance counts in 64 bits with a sign."""
_MAX_COMPILES = 400
_MAX_SECONDS = 2.0
"""Of processor time, for the search of one error. A schema of `MAX_TEXT` compiles in up to 3 s."""

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("prefixItems", "anyOf", "oneOf", "allOf", "items")
_SINGLE = ("items", "additionalProperties", "additionalItems", "not", "if", "then", "else", "contains", "propertyNames")
_KEYWORDS = frozenset(
    {*_MAPS, *_LISTS, *_SINGLE, "$ref", "type", "enum", "const", "required", "pattern", "format", "multipleOf"}
    | {"uniqueItems", "dependencies", "dependentRequired", "unevaluatedProperties", "unevaluatedItems"}
    | {f"{side}{what}" for side in ("min", "max") for what in ("Items", "Length", "Properties", "Contains", "imum")}
    | {"exclusiveMinimum", "exclusiveMaximum", "$dynamicRef", "$recursiveRef"}
) - {"$defs", "definitions"}
"""Keywords that constrain; what else a schema holds may be definitions."""
_COMBINING = frozenset({"allOf", "anyOf", "oneOf", "$ref"})


@attrs.frozen(kw_only=True)
class Fault:
    """An error in a schema. `path` leads to the subschema that has `keyword`."""

    message: str
    path: Path = ()
    keyword: str | None = None


def check(schema: dict[str, Any] | bool) -> Fault | None:
    """Find what cannot be passed to llguidance, and what it would compile for seconds or longer."""
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:
        return Fault(message="the schema holds half of a surrogate pair, which is not text")
    except (RecursionError, TypeError, ValueError) as error:
        return Fault(message=f"the schema is not JSON: {error}")
    if len(text) > MAX_TEXT:
        return Fault(message=f"the schema is longer than {MAX_TEXT} characters")
    if _is_deep(schema):
        return Fault(message=f"the schema is nested more than {MAX_DEPTH} levels deep")
    multiples: set[Fraction] = set()
    combining = False
    for path, part in walk(schema):
        if fault := _too_large(path, part) or _uncountable(path, part):
            return fault
        if multiple := _multiple(part):
            multiples.add(multiple)
        combining = combining or not _COMBINING.isdisjoint(part)
    if combining and multiples and _combined(multiples) > MAX_COMBINED_MULTIPLE:
        return Fault(message="the values of multipleOf have too large a common multiple", keyword="multipleOf")
    return None


def _is_deep(schema: Any) -> bool:
    level = [schema]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for part in level
            if isinstance(part, dict | list)
            for child in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return False
    return True


def _too_large(path: Path, part: dict[str, Any]) -> Fault | None:
    properties, required = part.get("properties"), part.get("required")
    if isinstance(properties, dict):
        optional = len(properties) - (len(set(map(str, required))) if isinstance(required, list) else 0)
        if optional > MAX_OPTIONAL:
            message = f"an object has more than {MAX_OPTIONAL} optional properties"
            return Fault(message=message, path=path, keyword="properties")
    patterns = part.get("patternProperties")
    if isinstance(patterns, dict) and len(patterns) > MAX_PATTERN_PROPERTIES:
        message = f"an object has more than {MAX_PATTERN_PROPERTIES} patterns of properties"
        return Fault(message=message, path=path, keyword="patternProperties")
    if keyword := _inexact(part):
        message = "integers beyond 2^53 are held only if floating point has them, and none beyond 2^63"
        return Fault(message=message, path=path, keyword=keyword)
    multiple = _multiple(part)
    if multiple is not None and multiple <= 0:
        # llguidance would use the absolute value.
        return Fault(message="multipleOf must be greater than 0", path=path, keyword="multipleOf")
    if multiple and multiple.numerator > MAX_MULTIPLE:
        message = f"multipleOf has too many digits: {part['multipleOf']}"
        return Fault(message=message, path=path, keyword="multipleOf")
    return None


def _inexact(part: dict[str, Any]) -> str | None:
    """The keyword with a number that llguidance would change: it takes numbers as floating point, and integers in 64
    bits with a sign. Bounds have been moved inside, so that those beyond its range have nothing inside."""
    for keyword, inside in BOUNDS.items():
        bound = part.get(keyword)
        if _is_number(bound) and bound * inside > LARGEST:
            return keyword
    if "const" in part and _changes(part["const"]):
        return "const"
    return "enum" if isinstance(part.get("enum"), list) and _changes(part["enum"]) else None


def _changes(value: Any) -> bool:
    """Whether llguidance would write another value."""
    if isinstance(value, dict | list):
        return any(map(_changes, value.values() if isinstance(value, dict) else value))
    if not _is_number(value):
        return False
    return abs(value) > LARGEST or float(value) != value


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _uncountable(path: Path, part: dict[str, Any]) -> Fault | None:
    """A `minProperties` that cannot be guaranteed: llguidance counts members, not their names. Of two properties that
    the schema does not name, the second may repeat the first, and JSON readers keep one of the two."""
    least, required = part.get("minProperties"), part.get("required")
    free = part.get("additionalProperties") is not False or bool(part.get("patternProperties"))
    named = len(set(map(str, required))) if isinstance(required, list) else 0
    if not free or isinstance(least, bool) or not isinstance(least, int | float) or least <= named + 1:
        return None
    message = "minProperties may exceed the required properties by 1 at most, unless additionalProperties is false"
    return Fault(message=message, path=path, keyword="minProperties")


def _multiple(part: dict[str, Any]) -> Fraction | None:
    value = part.get("multipleOf")
    return None if isinstance(value, bool) or not isinstance(value, int | float) else Fraction(repr(value))


def _combined(multiples: set[Fraction]) -> int:
    unit = math.lcm(*(multiple.denominator for multiple in multiples))
    return math.lcm(*(int(multiple * unit) for multiple in multiples))


def explain(schema: dict[str, Any] | bool, message: str, error_of: Compile) -> Fault:
    """Find the smallest part of the schema that causes this error of llguidance, and the keyword that causes it.

    `error_of` compiles a schema. Each part is compiled with the definitions of the whole schema, so that its
    references can be followed; where they cannot, a larger part is found.
    """
    if isinstance(schema, bool):
        return Fault(message="no value satisfies the schema `false`")
    budget = _budget()
    path, part = _narrow(schema, message, error_of, budget)
    keyword = _named(message, part) or _blamed(schema, part, message, error_of, budget)
    return Fault(message=readable(message), path=path, keyword=keyword)


def _budget() -> Iterator[int]:
    """A number for each compilation that the search for an error may take."""
    until = time.thread_time() + _MAX_SECONDS
    return itertools.takewhile(lambda _: time.thread_time() < until, range(_MAX_COMPILES))


def _narrow(
    schema: dict[str, Any], message: str, error_of: Compile, budget: Iterator[int]
) -> tuple[Path, dict[str, Any]]:
    path: Path = ()
    part = schema
    seen: set[Path] = set()
    while True:
        inside = ((path + step, child) for step, child in _children(part))
        for place, child in itertools.chain(inside, _referred(schema, part)):
            if next(budget, None) is None:
                return path, part
            if place not in seen and error_of(_with_defs(schema, child)) == message:
                path, part = place, child
                seen.add(place)
                break
        else:
            return path, part


def _referred(schema: dict[str, Any], part: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The definition that the part references by a pointer from the root."""
    reference = part.get("$ref")
    path = followed(schema, reference) if isinstance(reference, str) and reference.startswith("#") else None
    if path is not None:
        yield path, at(schema, path)


def followed(schema: dict[str, Any], reference: str) -> Path | None:
    """The path to the definition that a reference leads to by a pointer from the root."""
    path: Path = ()
    target: Any = schema
    _, _, pointer = reference.partition("#")
    for name in pointer.split("/")[1:]:
        word = unquote(name).replace("~1", "/").replace("~0", "~")
        step = int(word) if isinstance(target, list) and word.isdecimal() else word
        try:
            path, target = (*path, step), target[step]
        except (LookupError, TypeError):
            return None
    return path if isinstance(target, dict) and (path or not pointer) else None


def _with_defs(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    shared = {key: value for key, value in schema.items() if key not in _KEYWORDS}
    return {**shared, **part}


def _named(message: str, part: dict[str, Any]) -> str | None:
    """The first keyword of this part that the message names."""
    words = re.findall(r"[$\w]+", re.sub(r"\S*#\S*", "", message).replace("min/max", "minProperties maxProperties "))
    return next((word for word in words if word in part and word in _KEYWORDS), None)


def _blamed(
    schema: dict[str, Any], part: dict[str, Any], message: str, error_of: Compile, budget: Iterator[int]
) -> str | None:
    """The keyword without which the error disappears or changes."""
    for keyword in part:
        if keyword not in _KEYWORDS or (keyword == "type" and len(part) > 1):
            continue
        if next(budget, None) is None:
            return None
        if error_of(_with_defs(schema, {key: value for key, value in part.items() if key != keyword})) != message:
            return keyword
    return None


def circular(message: str) -> str | None:
    """The pointer of a reference that llguidance cannot intersect with the keywords beside it, because the definition
    contains it."""
    found = re.search(r"circular references with sibling keys are not supported: [^#\s]*#(\S*)", message)
    return found and found.group(1)


def siblings(part: dict[str, Any]) -> list[str]:
    """The keywords beside the reference of this part."""
    return [keyword for keyword in part if keyword in _KEYWORDS and keyword != "$ref"]


def readable(message: str) -> str:
    """llguidance's message in one line, without the excerpt of the source and with the keyword in words."""
    unknown = re.match(r"Unimplemented keys: \[(.*)\]", message)
    if unknown:
        return f"unsupported: {unknown.group(1).replace(chr(34), '')}"
    if "coerce_one_of" in message:
        return "oneOf is supported only if no value can match two of its schemas"
    causes = re.findall(r"^error: (.+)$", message, re.MULTILINE)
    if causes:
        return f"invalid regular expression: {causes[-1]}"
    first = message.strip().splitlines()[0] if message.strip() else "unknown error"
    if "present in a registry" in first:
        return "only references inside the schema are supported"
    return re.sub(r"^at \d+\(\d+\): ", "", first)[:500]


def place(root: str, path: Path) -> str:
    """The path as `param` writes it: `root.properties.a.anyOf[0]`."""
    for step in path:
        root += f"[{step}]" if isinstance(step, int) else f".{step}"
    return root


def walk(schema: dict[str, Any] | bool, start: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every subschema that is an object, with its path, the whole schema first, and what references lead to wherever
    it stands. A subschema may be changed before the next one is taken; the walk then goes on into what it holds.

    `start`: path of the subschema at which the walk starts.
    """
    if not isinstance(schema, dict):
        return
    pending: list[tuple[Path, dict[str, Any]]] = [(start, at(schema, start))]
    seen: set[int] = set()
    while pending:
        path, part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield path, part
        pending.extend(_referred(schema, part))
        pending.extend((path + step, child) for step, child in _children(part))


def at(schema: Any, path: Path) -> Any:
    """What the path leads to."""
    return functools.reduce(lambda part, step: part[step], path, schema)


def _children(part: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for key in _MAPS:
        members = part.get(key)
        if isinstance(members, dict):
            yield from (((key, name), child) for name, child in members.items() if isinstance(child, dict))
    for key in _LISTS:
        members = part.get(key)
        if isinstance(members, list):
            yield from (((key, number), child) for number, child in enumerate(members) if isinstance(child, dict))
    for key in _SINGLE:
        child = part.get(key)
        if isinstance(child, dict):
            yield (key,), child
