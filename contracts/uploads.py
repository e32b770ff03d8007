"""Files that a form carries."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Upload"]


@runtime_checkable
class Upload(Protocol):
    """A file that a client sent, open for reading at its first byte. `multipart/form-data` only; JSON has no files."""

    def read(self, size: int = -1, /) -> bytes: ...

    def close(self) -> None: ...
