"""Parsers of option values, the same for every source.

`server.settings.path_parsers` has those of files and folders.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from providers.chat.types import RESERVED_TEMPLATE_KWARGS
from server.settings.parser import Parser, Schema, accepts

__all__ = [
    "TEXT",
    "RateUnit",
    "always",
    "boolean",
    "choice",
    "closest",
    "devices",
    "duration",
    "factors",
    "hosts",
    "integer",
    "names",
    "number",
    "one_of",
    "origins",
    "parser_name",
    "paths",
    "rate",
    "seconds",
    "size",
    "template_args",
    "text",
]

RateUnit = Literal["second", "minute", "hour", "day"]

TEXT: Schema = {"type": "string", "pattern": r"\S"}
_SWITCH: Schema = {"enum": ["true", "false", "yes", "no", "on", "off", "0", "1", 0, 1]}
_WHOLE: Schema = {"type": "string", "pattern": r"^\s*[+-]?[0-9]{1,19}\s*$"}
_NUMBER: Schema = {"type": "string", "pattern": r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"}


def _list_of(*kinds: str) -> Schema:
    return {"type": "array", "minItems": 1, "items": {"type": [*kinds]}}


def _without_case(words: Iterable[str]) -> Schema:
    """The words, in lower and upper case."""
    letters = "".join
    spelt = (letters(f"[{c}{c.upper()}]" if c.isalpha() else re.escape(c) for c in word) for word in words)
    return {"type": "string", "pattern": rf"^\s*({'|'.join(spelt)})\s*$"}


def closest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or an empty string if no known word is similar."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else ""


@accepts(TEXT)
def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text (put it in quotes), not {value!r}")
    if not value.strip():
        raise ValueError("must not be empty")
    return value.strip()


@accepts(TEXT, {"type": "object"})
def template_args(value: object) -> dict[str, Any]:
    """A JSON object or a YAML mapping, without what the server itself passes to templates."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"must be a JSON object, not {value!r}")
    reserved = RESERVED_TEMPLATE_KWARGS.intersection(found)
    if reserved:
        raise ValueError(f"must not have {min(reserved)!r}: the server sets it")
    return found


def parser_name(synonyms: Mapping[str, str]) -> Parser[str]:
    """A name that the engine checks. `synonyms` are those of other servers."""

    @accepts(TEXT)
    def parse(value: object) -> str:
        name = text(value)
        return synonyms.get(name.lower().replace("-", "_"), name)

    return parse


@accepts({"type": "boolean"}, _SWITCH)
def boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    raise ValueError(f"must be true or false, not {value!r}")


@accepts({"const": True}, _SWITCH)
def always(value: object) -> bool:
    if not boolean(value):
        raise ValueError("cannot be turned off: to serve without tools, set tool_call_parser to none")
    return True


def integer(least: int, most: int | None = None) -> Parser[int]:
    span = f"from {least} to {most}" if most is not None else f"of at least {least}"

    @accepts({"type": "integer", "minimum": least, **({} if most is None else {"maximum": most})}, _WHOLE)
    def parse(value: object) -> int:
        plain = isinstance(value, int) and not isinstance(value, bool)
        if not plain and not (isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,19}\s*", value)):
            raise ValueError(f"must be a whole number {span}, not {value!r}")
        number = int(value)  # type: ignore[call-overload]
        if number < least or (most is not None and number > most):
            raise ValueError(f"must be a whole number {span}, not {number}")
        return int(number)

    return parse


def number(least: float, most: float, *, above: bool = False) -> Parser[float]:
    """`above`: `least` itself is excluded."""
    span = f"above {least:g} and up to {most:g}" if above else f"from {least:g} to {most:g}"

    @accepts({"type": "number", "exclusiveMinimum" if above else "minimum": least, "maximum": most}, _NUMBER)
    def parse(value: object) -> float:
        try:
            if isinstance(value, bool) or not isinstance(value, (int, float, str)):
                raise ValueError
            number = float(value)
        except (ValueError, OverflowError):
            raise ValueError(f"must be a number {span}, not {value!r}") from None
        # Written so that NaN fails too.
        if not least <= number <= most or (above and number == least):
            raise ValueError(f"must be a number {span}, not {value!r}")
        return number

    return parse


def seconds(*, zero: bool = False) -> Parser[float]:
    bound = "of at least 0" if zero else "above 0"

    @accepts({"type": "number", "minimum" if zero else "exclusiveMinimum": 0}, _NUMBER)
    def parse(value: object) -> float:
        try:
            if isinstance(value, bool) or not isinstance(value, (int, float, str)):
                raise ValueError
            number = float(value)
        except (ValueError, OverflowError):
            raise ValueError(f"must be a number of seconds, not {value!r}") from None
        if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
            raise ValueError(f"must be a number of seconds {bound}, not {value!r}")
        return number

    return parse


_DURATION_PATTERN = r"^\s*([0-9.]+[hH])?([0-9.]+[mM])?([0-9.]+[sS]?)?\s*$"
_DURATION = re.compile(r"(?:([0-9.]+)h)?(?:([0-9.]+)m)?(?:([0-9.]+)s?)?", re.IGNORECASE)


@accepts(
    {"type": "number", "minimum": 0},
    {"type": "string", "pattern": r"^\s*([0-9.]+[hH])?([0-9.]+[mM])?([0-9.]+[sS]?)?\s*$"},
)
def duration(value: object) -> float | None:
    """Seconds, from a number of them or a text such as `10m` or `1h30m`. None for 0: without end."""
    match = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip())
    try:
        if match is None or not any(match.groups()):
            raise ValueError
        hours, minutes, rest = (float(part or 0) for part in match.groups())
    except ValueError:
        raise ValueError(f"must be a number of seconds or a time such as 10m or 1h30m, not {value!r}") from None
    return 3600 * hours + 60 * minutes + rest or None


_SIZE_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtT]?)(i?)[bB]?\s*$"
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


@accepts({"type": "integer", "minimum": 0}, TEXT)
def rate(value: object) -> tuple[RateUnit, int] | None:
    """Requests in a unit of time, such as `60/minute`; a number without a unit is per minute. None for 0."""
    match = re.fullmatch(r"(\d{1,9})(?:\s*(?:/|per)\s*(second|minute|hour|day)s?)?", str(value).strip().lower())
    if match is None:
        raise ValueError(f"must be a number per second, minute, hour or day, such as 60/minute, not {value!r}")
    number = int(match[1])
    return (cast(RateUnit, match[2] or "minute"), number) if number else None


def size(least: int) -> Parser[int]:
    @accepts({"type": "number", "minimum": least}, {"type": "string", "pattern": _SIZE_PATTERN})
    def parse(value: object) -> int:
        match = _SIZE.fullmatch(str(value).strip()) if not isinstance(value, bool) else None
        if match is None:
            raise ValueError(f"must be a size such as 8GB, 512MiB or a number of bytes, not {value!r}")
        number, unit, binary = match.groups()
        power = " kmgt".index(unit.lower() or " ")
        size = int(float(number) * (1024 if binary else 1000) ** power)
        if size < least:
            raise ValueError(f"must be a size of at least {least} bytes, not {value!r}")
        return size

    return parse


def choice(choices: Iterable[str], *, synonyms: Mapping[str, str] | None = None) -> Parser[str]:
    known, same = tuple(choices), synonyms or {}

    @accepts({"enum": [*known]}, _without_case((*known, *same)))
    def parse(value: object) -> str:
        word = str(value).strip().lower()
        word = same.get(word, word)
        if word not in known:
            raise ValueError(f"must be {listed(known)}, not {value!r}{closest(word, known)}")
        return word

    return parse


def items(value: object, what: str) -> list[str]:
    """The words of a comma-separated text or of a YAML list; never empty."""
    items = value.split(",") if isinstance(value, str) else value
    if isinstance(items, int | float) and not isinstance(items, bool):
        items = [items]
    if not isinstance(items, list) or any(isinstance(item, bool | dict | list) for item in items):
        raise ValueError(f"must be {what} separated by commas, not {value!r}")
    words = [str(item).strip() for item in items]
    if not words or not all(words):
        raise ValueError(f"must be {what} separated by commas, not {value!r}")
    return words


@accepts(TEXT, _list_of("string", "number"))
def paths(value: object) -> tuple[str, ...]:
    return tuple(items(value, "folders"))


@accepts(TEXT, {"type": "number"}, _list_of("string", "number"))
def names(value: object) -> tuple[str, ...]:
    """Different names, in their order."""
    return tuple(dict.fromkeys(items(value, "names")))


@accepts(TEXT, {"type": "number"}, _list_of("string", "number"))
def factors(value: object) -> tuple[float, ...]:
    try:
        factors = tuple(float(word) for word in items(value, "numbers"))
    except ValueError:
        raise ValueError(f"must be numbers separated by commas, not {value!r}") from None
    if not all(map(math.isfinite, factors)):
        raise ValueError(f"must be finite numbers, not {value!r}")
    return factors


@accepts(
    {"type": "string", "pattern": r"^\s*[0-9]{1,4}\s*(,\s*[0-9]{1,4}\s*)*$"},
    {"type": "integer", "minimum": 0},
    {**_list_of("string", "integer"), "uniqueItems": True},
)
def devices(value: object) -> tuple[int, ...]:
    """Different numbers of devices, in their order."""
    what = "numbers of devices, counted from 0 and each once,"
    words = items(value, what)
    if not all(re.fullmatch(r"[0-9]{1,4}", word) for word in words) or len({*map(int, words)}) < len(words):
        raise ValueError(f"must be {what} separated by commas, not {value!r}")
    return tuple(map(int, words))


def one_of(*allowed: int, unit: str) -> Parser[int]:
    @accepts({"enum": [*allowed, *map(str, allowed)]})
    def parse(value: object) -> int:
        if isinstance(value, bool) or str(value).strip() not in map(str, allowed):
            raise ValueError(f"must be {listed(map(str, allowed))} ({unit}), not {value!r}")
        return int(str(value))

    return parse


@accepts({"type": "string"}, {"type": "array", "items": {"type": "string"}})
def origins(value: object) -> tuple[str, ...]:
    origins = tuple(item.rstrip("/") for item in _separated(value, "origins"))
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+", origin, re.IGNORECASE):
            raise ValueError(f"must be origins such as https://example.org, or *, not {origin!r}")
    return origins


@accepts({"type": "string"}, {"type": "array", "items": {"type": "string"}})
def hosts(value: object) -> tuple[str, ...]:
    names = tuple(item.lower() for item in _separated(value, "host names"))
    for name in names:
        if not re.fullmatch(r"[a-z0-9._-]+", name):
            raise ValueError(f"must be host names such as debate.example.org, not {name!r}")
    return names


def _separated(value: object, what: str) -> list[str]:
    """The items of a list, or of a text in which commas separate them.

    Raises:
        ValueError: it is neither. `what` names the items.
    """
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"must be {what} separated by commas, not {value!r}")
    return [item.strip() for item in items if item.strip()]


def listed(words: Iterable[str]) -> str:
    *head, last = words
    return f"{', '.join(head)} or {last}" if head else last
