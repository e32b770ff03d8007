"""Rows of the database, as values."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from contracts.retrieval.store_files import FileStatus, LastError

__all__ = ["BatchRow", "Counts", "FileRow", "StoreFileRow", "StoreRow", "Strategy"]

DAY = 86_400

Attributes = Mapping[str, str | float | bool]


@attrs.frozen(kw_only=True)
class FileRow:
    """An uploaded file. Times are Unix seconds."""

    key: int
    id: str
    filename: str
    purpose: str
    bytes: int
    created: int
    expires: int | None


@attrs.frozen(kw_only=True)
class Counts:
    """The number of files by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


@attrs.frozen(kw_only=True)
class StoreRow:
    """A vector store."""

    key: int
    id: str
    name: str
    description: str | None
    metadata: Mapping[str, str]
    created: int
    active: int
    days: int | None
    """Days after `active` until it expires; None: never."""
    model: str
    counts: Counts
    bytes: int

    @property
    def expires(self) -> int | None:
        return None if self.days is None else self.active + self.days * DAY


@attrs.frozen
class Strategy:
    """The size of passages, and what two neighbours share, in tokens."""

    size: int = 800
    overlap: int = 400

    def within(self, room: int) -> Strategy:
        """The strategy for a model whose inputs have up to `room` tokens."""
        size = min(self.size, room)
        return Strategy(size, min(self.overlap, size // 2))


@attrs.frozen(kw_only=True)
class StoreFileRow:
    """A file in a store."""

    key: int
    file_id: str
    filename: str
    store_id: str
    model: str
    created: int
    status: FileStatus
    error: LastError | None
    attributes: Attributes
    strategy: Strategy
    bytes: int


@attrs.frozen(kw_only=True)
class BatchRow:
    """Files that were put into a store together."""

    key: int
    id: str
    store_id: str
    created: int
    cancelled: bool
    counts: Counts
