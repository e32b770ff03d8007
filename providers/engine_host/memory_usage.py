"""Memory of a process, as its operating system counts it."""

from __future__ import annotations

import psutil

__all__ = ["resident_bytes"]


def resident_bytes(pid: int | None, *, children: bool = False) -> int | None:
    """Resident bytes of a process, and of its `children` if asked for.

    None without a process ID, after its end, or where the system denies it. A reading without children takes about
    30 µs on Linux. It is taken when metrics are collected, never per request.
    """
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        family = [process, *process.children()] if children else [process]
        return sum(int(each.memory_info().rss) for each in family)
    except psutil.Error:
        return None
