"""Parameters that a request carried and that have no effect.

A hint about price, presentation or bookkeeping is neither honoured nor refused. It is noted: the response's
`X-Ignored-Parameters` header and the request's log line name it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs

__all__ = ["Noted", "note", "noting"]

MAX_NAMES = 32
"""Names that are kept. A body of unknown fields must not make a header that no proxy forwards."""
MAX_NAME = 64


@attrs.frozen
class Noted:
    """The names noted during a request, in order and each once."""

    names: dict[str, None] = attrs.field(factory=dict)

    def add(self, name: str) -> None:
        if len(self.names) < MAX_NAMES:
            self.names[_printable(name)] = None

    def header(self) -> bytes:
        return ", ".join(self.names).encode("ascii")


_noted: ContextVar[Noted | None] = ContextVar("noted", default=None)


@contextmanager
def noting() -> Iterator[Noted]:
    """Collect what `note` records while this context lasts."""
    noted = Noted()
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


def note(name: str) -> None:
    """Record that a parameter has no effect. Outside a request this does nothing."""
    noted = _noted.get()
    if noted is not None:
        noted.add(name)


def _printable(name: str) -> str:
    """The name as a header can hold it: printable ASCII without commas, cut to `MAX_NAME` characters."""
    return "".join(char if " " < char < "\x7f" and char != "," else "?" for char in name[:MAX_NAME])
