"""The number of file descriptors that this process and its children may open: each connection takes one."""

from __future__ import annotations

import contextlib
import resource

__all__ = ["connections_within", "raise_limit"]

RESERVE = 512
"""Descriptors for everything but connections: engines, uploads on disk, databases, the event loop."""
_MACOS = 10_240
"""The most that macOS grants to a process whose hard limit is none."""


def raise_limit(wanted: int) -> int:
    """Raise the limit to `wanted`, or as far as the system allows, and return it. It is never lowered.

    macOS starts programs with 256, and many Linux systems with 1,024.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited:
        return wanted
    for limit in (wanted if hard == unlimited else min(wanted, hard), _MACOS):
        if limit > soft:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return limit
    return soft


def connections_within(limit: int, wanted: int, sockets: int) -> int:
    """Connections per listening socket: `wanted`, or what `limit` descriptors leave for them."""
    return max(1, min(wanted, (limit - RESERVE) // sockets))
