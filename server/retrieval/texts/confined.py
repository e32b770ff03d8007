"""How a program begins and fails that reads a file which someone sent, in a process of its own (`reading.printed`)."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys
import threading
import time

__all__ = ["confine", "refuse"]

_MEMORY = 4_000_000_000
"""Bytes of address space, which a file that expands without end exceeds."""


def confine(parent: int) -> None:
    """Bound the memory of this process, end it with its parent, and keep its libraries' warnings from its errors."""
    with contextlib.suppress(ValueError, OSError):  # macOS does not limit address space
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    logging.disable(logging.CRITICAL)


def refuse(reason: str) -> int:
    """Write why the program fails. Returns its exit status."""
    print(" ".join(reason.split()), file=sys.stderr)
    return 1


def _end_with(parent: int) -> None:
    """End this process when the server has died, which would have ended it after a time."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
