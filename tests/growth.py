"""Growth of the time that work takes with its size, in processor time of the thread that calls."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["assert_linear"]

FACTOR = 8
"""Between the sizes of the work. In quadratic time the larger one takes 64 times as long."""
MARGIN = 2.5
"""Linear work measures 0.8 to 1.2."""
TRIES = 3
"""A busy machine lengthens the time of a try, and never shortens it."""


def assert_linear(work: Callable[[int], object], size: int) -> None:
    """Fail if work of this size takes much more than `FACTOR` times as long as work of an eighth of it."""
    work(size // FACTOR)  # fills caches, loads modules
    measured = []
    for _ in range(TRIES):
        small = min(_seconds(work, size // FACTOR) for _ in range(2))
        measured.append(_seconds(work, size) / small / FACTOR)
        if measured[-1] < MARGIN:
            return
    raise AssertionError(f"{FACTOR} times the size takes {FACTOR} times {measured} of the time")


def _seconds(work: Callable[[int], object], size: int) -> float:
    begun = time.thread_time()
    work(size)
    return time.thread_time() - begun
