"""Regular expressions over text, as expressions of Lark over the same text inside a JSON string.

Every character has one form in JSON: quotes, backslashes and control characters are escaped, all others stand for
themselves. An escape is a terminal of its own, because llguidance's lexer does not go back: if a line was one terminal
with its escapes, a backslash could only go on with another of these, and not with the `n` that ends the line.
"""

from __future__ import annotations

import importlib
import json
import re
from typing import Any

__all__ = ["NotConvertible", "expression", "quoted_text"]

_parser: Any = importlib.import_module("re._parser")  # Python's own reader of regular expressions has no public name
_ESCAPED = ['"', "\\", *map(chr, range(32))]
"""Characters that JSON escapes."""
_PLAIN = r"[^\"\\\x00-\x1f]"
_ESCAPE = r"\\(?:[\"\\bfnrt]|u00[01][0-9a-f])"
_CATEGORIES = {"CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s", "CATEGORY_WORD": r"\w"}
_SPACES = "\t\n\v\f\r"
_UNLIMITED = 10_000


class NotConvertible(Exception):
    """An expression, or what it uses, has no form inside of JSON here."""


def quoted_text(text: str) -> str:
    """A string literal of Lark for this text inside of JSON."""
    return json.dumps("".join(_in_json(char) for char in text), ensure_ascii=True)


def expression(pattern: str, flags: str) -> str:
    """An expression of Lark for the texts that the pattern matches as a whole.

    Raises:
        NotConvertible: the pattern has look-around, anchors, references to groups, or is none that Python reads.
    """
    if set(flags) - set("s"):
        raise NotConvertible(f"flags of a regular expression: {flags}")
    try:
        parsed = _parser.parse(pattern)
        if parsed.state.flags & ~re.UNICODE:
            raise NotConvertible(f"flags inside of {pattern!r}")
        return _sequence(parsed, "s" in flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise NotConvertible(f"{pattern[:64]!r}: {error}") from None


def _in_json(char: str) -> str:
    return json.dumps(char, ensure_ascii=False)[1:-1]


def _sequence(nodes: Any, dot_all: bool) -> str:
    parts = []
    literal = ""
    for op, value in nodes:
        if str(op) == "LITERAL":
            literal += chr(value)
            continue
        parts += [quoted_text(literal)] if literal else []
        literal = ""
        parts.append(_node(str(op), value, dot_all))
    parts += [quoted_text(literal)] if literal or not parts else []
    return " ".join(parts)


def _node(op: str, value: Any, dot_all: bool) -> str:
    match op:
        case "ANY" | "IN" | "NOT_LITERAL":
            return f"({_either(_class(op, value, dot_all), '')})"
        case "MAX_REPEAT" | "MIN_REPEAT":
            return _repeat(value, dot_all)
        case "SUBPATTERN":
            _, added, removed, inner = value
            if added or removed:
                raise NotConvertible("flags of a group")
            return f"({_sequence(inner, dot_all)})"
        case "BRANCH":
            return f"({' | '.join(_sequence(branch, dot_all) for branch in value[1])})"
    raise NotConvertible(f"{op} in a regular expression")


def _repeat(value: Any, dot_all: bool) -> str:
    least, most, inner = value
    unbounded = most is _parser.MAXREPEAT
    if max(least, 0 if unbounded else most) > _UNLIMITED:
        raise NotConvertible("a repetition of more than 10000")
    (op, operand), single = inner[0], len(inner) == 1
    if single and str(op) in ("ANY", "IN", "NOT_LITERAL") and unbounded and least <= 1:
        # A run of plain characters is one terminal.
        return f"({_either(_class(str(op), operand, dot_all), '+')}){'+' if least else '*'}"
    count = f"{{{least},{'' if unbounded else most}}}"
    if unbounded and least <= 1:
        count = "+" if least else "*"
    return f"({_sequence(inner, dot_all)}){count}"


def _either(found: tuple[str | None, list[str]], run: str) -> str:
    """The plain characters of a class, or its escapes."""
    plain, escaped = found
    parts = [f"/{plain}{run}/"] if plain else []
    if escaped:
        every = _ESCAPE if len(escaped) == len(_ESCAPED) else "|".join(re.escape(_in_json(char)) for char in escaped)
        parts.append(f"/{every}/")
    if not parts:
        raise NotConvertible("an empty class of characters")
    return " | ".join(parts)


def _class(op: str, value: Any, dot_all: bool) -> tuple[str | None, list[str]]:
    """(a regular expression of the class without the characters that JSON escapes, those of them that it has)."""
    if op == "ANY":
        items, negated = [] if dot_all else [("LITERAL", 10)], True
    elif op == "NOT_LITERAL":
        items, negated = [("LITERAL", value)], True
    else:
        items, negated = [(str(name), operand) for name, operand in value], False
        if items[0][0] == "NEGATE":
            items, negated = items[1:], True
    escaped = [char for char in _ESCAPED if any(_has(item, char) for item in items) is not negated]
    if not items:
        return _PLAIN, escaped
    written = "".join(map(_written, items))
    plain = f"[[{'^' if negated else ''}{written}]&&{_PLAIN}]"
    return (plain if negated or any(map(_has_plain, items)) else None), escaped


def _has(item: tuple[str, Any], char: str) -> bool:
    name, operand = item
    if name == "LITERAL":
        return char == chr(operand)
    if name == "RANGE":
        return bool(operand[0] <= ord(char) <= operand[1])
    category = str(operand)
    inside = char in _SPACES if "SPACE" in category else False
    return inside is not ("NOT" in category)


def _has_plain(item: tuple[str, Any]) -> bool:
    name, operand = item
    if name == "LITERAL":
        return chr(operand) not in _ESCAPED
    return name != "RANGE" or any(chr(code) not in _ESCAPED for code in range(operand[0], min(operand[1], 256) + 1))


def _written(item: tuple[str, Any]) -> str:
    name, operand = item
    if name == "LITERAL":
        return f"\\x{{{operand:x}}}"
    if name == "RANGE":
        return f"\\x{{{operand[0]:x}}}-\\x{{{operand[1]:x}}}"
    category = str(operand)
    known = _CATEGORIES.get(category.replace("_NOT_", "_"))
    if name != "CATEGORY" or known is None:
        raise NotConvertible(f"{category} in a class of characters")
    return known.upper() if "_NOT_" in category else known
