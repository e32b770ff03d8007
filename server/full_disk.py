"""Recognises failures of a disk that takes no further data."""

from __future__ import annotations

import errno
import sqlite3

__all__ = ["is_full_disk"]

_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_SQLITE_CODES = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,  # for everything except ENOSPC: a quota, a limit of the process
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_TRUNCATE,
    }
)
"""Extended codes: https://www.sqlite.org/rescode.html."""


def is_full_disk(error: BaseException) -> bool:
    """Whether this is the failure of a write because the disk is full, or cannot be written for another reason."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in _SQLITE_CODES
    return isinstance(error, OSError) and error.errno in _ERRNOS
