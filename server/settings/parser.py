"""The kind of function that all parsers of option values are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import attrs

__all__ = ["Parser", "Schema", "accepts"]

T_co = TypeVar("T_co", covariant=True)

Schema = Mapping[str, Any]
"""A JSON schema, of draft 7."""


@attrs.frozen
class Parser(Generic[T_co]):
    """A parser takes text from the command line or the environment, or YAML's own types from the file. It returns the
    value, or raises `ValueError` with a phrase that follows the option's name: "must be …".
    """

    parse: Callable[[object], T_co]
    schema: Schema
    """The values that it takes in the file, as far as a schema can tell; never fewer."""

    def __call__(self, value: object) -> T_co:
        return self.parse(value)


def accepts(*schemas: Schema) -> Callable[[Callable[[object], T_co]], Parser[T_co]]:
    """Make a function a parser of values that one of the schemas describes."""
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": [*schemas]}
    return lambda function: Parser(function, schema)
