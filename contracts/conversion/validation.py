"""Problems of a request: cattrs' tree of exceptions as paths and sentences."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
from cattrs.errors import BaseValidationError, ClassValidationError, IterableValidationError

from contracts.conversion.strict import Problem

__all__ = ["ValidationProblem", "is_validation_error", "problems"]


@attrs.frozen
class ValidationProblem:
    """A problem of one value. `path` is like `messages[0].role`, and None for the body itself."""

    path: str | None
    message: str


def problems(error: BaseException) -> Iterator[ValidationProblem]:
    """Every problem that `Converter.structure` found, in the order of the contract's fields."""
    yield from _walk(error, "")


def _walk(error: BaseException, path: str) -> Iterator[ValidationProblem]:
    if isinstance(error, ClassValidationError):
        located, bare = error.group_exceptions()
        for inner, note in located:
            yield from _walk(inner, f"{path}.{note.name}" if path else note.name)
        for inner in bare:
            yield from _walk(inner, path)
    elif isinstance(error, IterableValidationError):
        items, bare = error.group_exceptions()
        for inner, item in items:
            index = item.index
            yield from _walk(inner, f"{path}[{index}]" if isinstance(index, int) else f"{path}.{index[:64]}")
        for inner in bare:
            yield from _walk(inner, path)
    else:
        yield ValidationProblem(path or None, _sentence(error))


def _sentence(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return "required, but missing"
    if isinstance(error, Problem):
        return str(error)
    return "not a valid value"


def is_validation_error(error: BaseException) -> bool:
    """Whether `Converter.structure` raised the error for a bad value and not for a bug."""
    return isinstance(error, (BaseValidationError, Problem))
