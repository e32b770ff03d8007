r"""Regular expressions with look-ahead at their beginning, as several without, which text must match all.

`^(?=A)(?!B)C` is `^A`, the complement of `^B`, and `^C`. A complement has a form for words, for one class of
characters, and for `.*` before one or two characters. Patterns for passwords and zod's for e-mail addresses are such.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["without_look_ahead"]

_parser: Any = importlib.import_module("re._parser")  # Python's own reader of regular expressions has no public name
_END = r"(?<!\\)((?:\\\\)*)\\Z"
_MAX_WORD = 64


def without_look_ahead(pattern: str) -> list[str] | None:
    r"""Patterns that match a text together if and only if this one does; None: there is no look-ahead, or no such form.

    `\Z`, as Python writes the end of the text, becomes `$`.
    """
    plain = re.sub(_END, r"\1$", pattern)
    parts = list(_parts(plain))
    if None in parts or (len(parts) == 1 and plain == pattern):
        return None
    return [part for part in parts if part is not None]


def _parts(pattern: str) -> Iterator[str | None]:
    at = 1
    while pattern.startswith(("^(?=", "^(?!"), 0) and pattern[at : at + 3] in ("(?=", "(?!"):
        end = _closing(pattern, at)
        if end is None:
            yield None
            return
        ahead = pattern[at + 3 : end]
        if pattern[at + 2] == "=":
            yield f"^(?:{ahead})"
        else:
            yield from _complements(ahead)
        at = end + 1
    rest = pattern if at == 1 else f"^{pattern[at:]}"
    yield None if at > 1 and _alternates(rest) else rest


def _closing(pattern: str, start: int) -> int | None:
    """The place of the bracket that closes the group."""
    return next((place for place, char, depth in _outside_classes(pattern, start) if char == ")" and depth == 0), None)


def _alternates(pattern: str) -> bool:
    """Whether the pattern has alternatives outside of groups; then look-ahead belongs to the first only."""
    return any(char == "|" and depth == 0 for _, char, depth in _outside_classes(pattern, 0))


def _outside_classes(pattern: str, start: int) -> Iterator[tuple[int, str, int]]:
    """The characters that are neither escaped nor in a class, with their places and the groups open after them."""
    depth, in_class, place = 0, False, start
    while place < len(pattern):
        char = pattern[place]
        if char == "\\":
            place += 1
        elif in_class:
            in_class = char != "]"
        else:
            in_class = char == "["
            depth += (char == "(") - (char == ")")
            yield place, char, depth
        place += 1


def _complements(ahead: str) -> Iterator[str | None]:
    """Patterns of the texts whose beginning `ahead` does not match."""
    try:
        parsed = _parser.parse(ahead)
    except (re.error, RecursionError, OverflowError):
        yield None
        return
    if parsed.state.flags & ~re.UNICODE:
        yield None
        return
    nodes = list(parsed)
    group = nodes[0][1] if nodes and str(nodes[0][0]) == "SUBPATTERN" else None
    if group is not None and not any(group[1:3]):
        for branch in _branches(list(group[3])):
            yield _complement([*branch, *nodes[1:]])
    else:
        for branch in _branches(nodes):
            yield _complement(branch)


def _branches(nodes: list[Any]) -> list[list[Any]]:
    """The alternatives at the beginning, each with what follows them."""
    if nodes and str(nodes[0][0]) == "BRANCH":
        return [[*branch, *nodes[1:]] for branch in nodes[0][1][1]]
    return [nodes]


def _complement(nodes: list[Any]) -> str | None:
    found = [(str(op), value) for op, value in nodes]
    if found and found[0][0] in ("MAX_REPEAT", "MIN_REPEAT") and _is_any_text(found[0][1]):
        return _absent(found[1:])
    ends = bool(found) and found[-1][0] == "AT" and str(found[-1][1]) == "AT_END"
    classes = [_class(op, value) for op, value in (found[:-1] if ends else found)]
    if None in classes or len(classes) > _MAX_WORD or not (classes or ends):
        return None
    tail = r"[\s\S]" if ends else None
    for inside in reversed(classes):
        others = ["$", f"[^{inside}]", *([f"[{inside}](?:{tail})"] if tail is not None else [])]
        tail = "|".join(others)
    return f"^(?:{tail})"


def _is_any_text(value: Any) -> bool:
    least, most, inner = value
    return least == 0 and most is _parser.MAXREPEAT and [str(op) for op, _ in inner] == ["ANY"]


def _absent(nodes: list[tuple[str, Any]]) -> str | None:
    """The texts whose first line lacks one or two characters in a row."""
    classes = [_class(op, value) for op, value in nodes]
    if None in classes or any(r"\s" in str(one) or r"\x{a}" in str(one) or r"\D" in str(one) for one in classes):
        return None
    if len(classes) == 1:
        return rf"^[^{classes[0]}\n]*(?:\n|$)"
    if len(classes) != 2 or any(op != "LITERAL" for op, _ in nodes):
        return None
    one, two = classes
    if one == two:
        return rf"^(?:[^{one}\n]|{one}[^{one}\n])*{one}?(?:\n|$)"
    return rf"^(?:[^{one}\n]|{one}+[^{one}{two}\n])*{one}*(?:\n|$)"


def _class(op: str, value: Any) -> str | None:
    """What stands between the brackets of a class of these characters."""
    if op == "LITERAL":
        return f"\\x{{{value:x}}}"
    if op != "IN":
        return None
    written = [_written(str(name), operand) for name, operand in value]
    return None if None in written else "".join(filter(None, written))


def _written(name: str, operand: Any) -> str | None:
    match name:
        case "LITERAL":
            return f"\\x{{{operand:x}}}"
        case "RANGE":
            return f"\\x{{{operand[0]:x}}}-\\x{{{operand[1]:x}}}"
        case "CATEGORY" if str(operand) == "CATEGORY_DIGIT":
            return "0-9"
        case "CATEGORY" if str(operand) == "CATEGORY_SPACE":
            return r"\s"
    return None
