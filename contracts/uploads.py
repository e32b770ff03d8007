"""Files in forms."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Upload"]


@runtime_checkable
class Upload(Protocol):
    """A file that a client sent in `multipart/form-data`, open for reading from its first byte."""

    @property
    def filename(self) -> str:
        """The name that the client gave it, which may be any text."""
        ...

    def read(self, size: int = -1, /) -> bytes: ...

    def close(self) -> None: ...
