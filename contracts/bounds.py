"""Bounds of values: those of `annotated_types`, and our own. Each becomes a check with a message."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import annotated_types as at
import attrs

__all__ = ["Characters", "Check", "MaxKeyLen", "OneOrUnlimited", "checks"]


@attrs.frozen
class Characters:
    """Text that has only these characters. `ranges` is the inside of a regular expression's `[…]`.

    `names` names them in messages.
    """

    ranges: str
    names: str


@attrs.frozen
class MaxKeyLen:
    """An object whose keys have up to `max_length` characters."""

    max_length: int


@attrs.frozen
class OneOrUnlimited:
    """A count of at least 1, or -1 for no limit."""


Check = Callable[[Any], str | None]
"""The problem of a value, or None if it is within the bound. The message follows the path of the value."""


def checks(metadata: list[Any]) -> list[Check]:
    """The checks of an annotation. Metadata that is not a bound is skipped."""
    return [_CHECKS[type(bound)](bound) for bound in metadata if type(bound) in _CHECKS]


def _check(holds: Callable[[Any], bool], message: str) -> Check:
    return lambda value: None if holds(value) else message


def _max_len(bound: at.MaxLen) -> Check:
    most = bound.max_length

    def check(value: Any) -> str | None:
        if len(value) <= most:
            return None
        if isinstance(value, str):
            return f"has {len(value)} characters; at most {most} are allowed"
        return f"must not be longer than {most}"

    return check


def _min_len(bound: at.MinLen) -> Check:
    least = bound.min_length
    message = "must not be empty" if least == 1 else f"must have at least {least} entries"
    return _check(lambda value: len(value) >= least, message)


def _characters(bound: Characters) -> Check:
    pattern = re.compile(f"[{bound.ranges}]*")
    return _check(lambda value: pattern.fullmatch(value) is not None, f"{bound.names} only")


def _max_key_len(bound: MaxKeyLen) -> Check:
    most = bound.max_length
    return _check(lambda value: all(len(key) <= most for key in value), f"a key may have up to {most} characters")


_CHECKS: dict[type, Callable[[Any], Check]] = {
    at.Ge: lambda bound: _check(lambda value: bool(value >= bound.ge), f"must be at least {bound.ge}"),
    at.Gt: lambda bound: _check(lambda value: bool(value > bound.gt), f"must be greater than {bound.gt}"),
    at.Le: lambda bound: _check(lambda value: bool(value <= bound.le), f"must be at most {bound.le}"),
    OneOrUnlimited: lambda _: _check(
        lambda value: value == -1 or value >= 1, "must be at least 1; -1 and leaving it out mean no limit"
    ),
    at.MinLen: _min_len,
    at.MaxLen: _max_len,
    Characters: _characters,
    MaxKeyLen: _max_key_len,
}
