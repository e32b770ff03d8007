"""What requests and events of every capability have in common, on their way to an engine and back."""

from __future__ import annotations

from typing import ClassVar, Protocol

import msgspec

__all__ = ["Event", "Request"]


class Request(Protocol):
    """What one answer is wanted of. `timeout` is in seconds from admission."""

    @property
    def id(self) -> str: ...

    @property
    def timeout(self) -> float | None: ...


class Event(msgspec.Struct, frozen=True, array_like=True):
    """Part of an answer.

    Events are structs, arrays on the wire: they cross the engine's socket once per step, and msgspec cannot tell two
    attrs classes of a union apart.
    """

    ends: ClassVar[bool] = False
    """Whether the answer ends with it."""
    heavy: ClassVar[bool] = False
    """Whether it holds sound: hundreds of kilobytes instead of a hundred bytes."""
