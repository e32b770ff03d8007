"""Parameters that a request carried and that have no effect.

A hint about price, presentation or bookkeeping is neither honoured nor refused. It is noted: the response's
`X-Ignored-Parameters` header and the request's log line name it, and a metric counts it. With `--strict-parameters`
it is refused instead.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import attrs

import otel
from contracts.conversion.classes import own_fields
from providers.errors import UnsupportedParameter

__all__ = ["Noted", "note", "note_unknown", "noting"]

MAX_NAMES = 32
"""Names that are kept. A body of unknown fields must not make a header that no proxy forwards."""
MAX_NAME = 64


@attrs.frozen
class Noted:
    """The names noted during a request, in order and each once."""

    strict: bool = False
    """Whether such parameters are refused."""
    names: dict[str, None] = attrs.field(factory=dict)

    def add(self, name: str) -> bool:
        """Keep a name. Returns whether it is a new one."""
        name = _printable(name)
        if name in self.names or len(self.names) >= MAX_NAMES:
            return False
        self.names[name] = None
        return True

    def header(self) -> bytes:
        return ", ".join(self.names).encode("ascii")


_noted: ContextVar[Noted | None] = ContextVar("noted", default=None)


@contextmanager
def noting(*, strict: bool = False) -> Iterator[Noted]:
    """Collect what `note` records while this context lasts; `strict` refuses it instead."""
    noted = Noted(strict)
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


def note(name: str, *, known: bool = True) -> None:
    """Record that a parameter has no effect. Outside a request this does nothing.

    The metric's label is the name up to its first index, if the name is `known` and not the client's own.

    Raises:
        UnsupportedParameter: the server has `--strict-parameters`.
    """
    noted = _noted.get()
    if noted is None:
        return
    if noted.strict:
        raise UnsupportedParameter(
            f"{name[:MAX_NAME]} has no effect on this server, and --strict-parameters refuses such parameters; "
            "leave it out",
            param=name[:MAX_NAME],
        )
    if noted.add(name):
        otel.ignored_parameter(name.partition("[")[0] if known else "unknown")


def note_unknown(value: Mapping[str, Any], contract: Any, path: str = "") -> None:
    """Note each field of the JSON object `value` that `contract`, which was made of it, does not have, at any depth.

    Clients of newer APIs send them. Null means the same as leaving a field out. The index in a list is left out of the
    path, so that a field of every turn is one name.

    Raises:
        UnsupportedParameter: as `note`.
    """
    kind: type[attrs.AttrsInstance] = type(contract)
    names = _names(kind)
    if names is None or not value:  # not even a mapping, where PHP wrote an empty object
        return
    for alias, given in own_fields(value, kind).items():
        name = names.get(alias)
        if name is None:
            if given is not None:
                note(path + alias, known=False)
            continue
        part = getattr(contract, name)
        if isinstance(given, dict):
            if attrs.has(type(part)):
                note_unknown(given, part, f"{path}{alias}.")
        elif isinstance(given, list) and given and not isinstance(given[0], (int, list)):  # no long lists of token ids
            for item, made in zip(given, part if isinstance(part, list) else (), strict=False):
                if isinstance(item, dict) and attrs.has(type(made)):
                    note_unknown(item, made, f"{path}{alias}[].")


@functools.cache
def _names(contract: type[attrs.AttrsInstance]) -> Mapping[str, str] | None:
    """The names of the fields, by those on the wire. None: the class keeps every field."""
    if any(field.metadata.get("other_fields") for field in attrs.fields(contract)):
        return None
    return {field.alias: field.name for field in attrs.fields(contract)}


def _printable(name: str) -> str:
    """The name as a header can hold it: printable ASCII without commas, cut to `MAX_NAME` characters."""
    return "".join(char if " " < char < "\x7f" and char != "," else "?" for char in name[:MAX_NAME])
