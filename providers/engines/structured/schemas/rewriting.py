"""Keywords that llguidance refuses, written with those that it takes; the schema accepts the same values."""

from __future__ import annotations

import itertools
import math
from typing import Any

from providers.engines.structured.schemas.negation import Schema, all_of, any_of, negation
from providers.engines.structured.schemas.patterns import without_look_ahead

__all__ = ["REWRITTEN", "rewritten"]

REWRITTEN = (
    *("not", "if", "dependencies", "dependentRequired", "dependentSchemas"),
    *("propertyNames", "minProperties", "pattern"),
)
"""Keywords that `rewritten` may write otherwise. `then` and `else` belong to `if`."""
_MAX_CASES = 24
"""Alternatives that one keyword may become; the grammar multiplies those of all keywords of one object."""


def rewritten(root: dict[str, Any], part: dict[str, Any], keyword: str) -> list[Schema] | None:
    """Schemas that together mean what this keyword of the part means; None: it has no such form.

    `root`: holds the definitions.
    """
    value = part[keyword]
    match keyword:
        case "not":
            base = {name: member for name, member in part.items() if name != "not"}
            other = negation(root, value, base)
            return None if other is None else [other]
        case "if":
            return _conditions(root, part)
        case "oneOf" if isinstance(value, list):
            return _one_of(root, part, value)
        case "dependencies" | "dependentRequired" | "dependentSchemas" if isinstance(value, dict):
            found = [_dependency(name, needed) for name, needed in value.items()]
            return [one for one in found if one is not None] if None not in found and len(found) <= 4 else None
        case "propertyNames" if isinstance(value, dict):
            return _names(part, value)
        case "minProperties":
            return _count(part, value)
        case "pattern" if isinstance(value, str):
            patterns = without_look_ahead(value)
            return None if patterns is None else [{"pattern": pattern} for pattern in patterns]
    return None


def _conditions(root: dict[str, Any], part: dict[str, Any]) -> list[Schema] | None:
    condition = part["if"]
    base = {name: member for name, member in part.items() if name not in ("if", "then", "else")}
    unmet = negation(root, condition, base)
    if unmet is None:
        return None
    return [any_of([all_of([condition, part.get("then", True)]), all_of([unmet, part.get("else", True)])])]


def _one_of(root: dict[str, Any], part: dict[str, Any], branches: list[Any]) -> list[Schema] | None:
    base = {name: member for name, member in part.items() if name != "oneOf"}
    others = [negation(root, branch, base) for branch in branches]
    if None in others or len(branches) > _MAX_CASES:
        return None
    refused = [other for other in others if other is not None]
    cases = [all_of([branch, *refused[:at], *refused[at + 1 :]]) for at, branch in enumerate(branches)]
    return [any_of(cases)]


def _dependency(name: str, needed: Any) -> Schema | None:
    if isinstance(needed, str):
        needed = [needed]
    if isinstance(needed, list):
        needed = {"required": needed} if needed else True
    if not isinstance(needed, dict | bool):
        return None
    return any_of([{"properties": {name: False}}, needed])


def _names(part: dict[str, Any], named: dict[str, Any]) -> list[Schema] | None:
    """The form of names that are listed or match a pattern, where no other keyword names properties."""
    if not {"properties", "patternProperties"}.isdisjoint(part):
        return None
    value = part.get("additionalProperties", True)
    kinds = set(named) - {"type", "description", "title"}
    if named.get("type", "string") != "string":
        return None
    if kinds == {"pattern"} and isinstance(named["pattern"], str):
        return [{"patternProperties": {named["pattern"]: value}, "additionalProperties": False}]
    if kinds == {"enum"} and isinstance(named["enum"], list):
        names = [name for name in named["enum"] if isinstance(name, str)]
        return [{"properties": dict.fromkeys(names, value), "additionalProperties": False}]
    return None


def _count(part: dict[str, Any], least: Any) -> list[Schema] | None:
    """The form of a least number of members where all are named: each selection of them may be required."""
    members, required = part.get("properties"), part.get("required", [])
    if part.get("additionalProperties") is not False or part.get("patternProperties") or not isinstance(members, dict):
        return None
    if isinstance(least, bool) or not isinstance(least, int) or not isinstance(required, list):
        return None
    optional = [name for name in members if name not in required]
    more = least - len(set(map(str, required)))
    if more <= 0 or not optional:
        return None
    if more > len(optional) or math.comb(len(optional), more) > _MAX_CASES:
        return None
    selections = itertools.combinations(optional, more)
    return [any_of([{"required": list(selection)} for selection in selections])]
