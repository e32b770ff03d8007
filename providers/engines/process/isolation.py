"""What an engine process does to be the one that goes: it holds nothing of the server's and dies before it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

__all__ = ["close_inherited", "die_first_without_memory", "die_with_parent"]

_OOM_SCORE = Path("/proc/self/oom_score_adj")
_OOM_POINTS = 500
"""Half of the machine's memory, added to what the process uses when the kernel chooses one to kill."""
_PR_SET_PDEATHSIG = 1


def close_inherited(kept: int | None) -> None:
    """Close every descriptor of the server that came with the process, except `kept` and the standard streams.

    uvloop closes none when it starts a process. With the server's listening socket, an engine that hangs would keep the
    port after the server's end; with its pipes, it would keep the server's helper processes. Descriptors that this
    process opened itself close on exec, and are left.
    """
    for name in os.listdir("/dev/fd"):
        fd = int(name)
        with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
            if fd > 2 and fd != kept and os.get_inheritable(fd):
                os.close(fd)
    if kept is not None:
        os.set_inheritable(kept, False)


def die_first_without_memory() -> None:
    """Make this process the kernel's first choice when memory runs out (Linux): the server restarts it."""
    with contextlib.suppress(OSError, ValueError):
        if int(_OOM_SCORE.read_text(encoding="ascii")) < _OOM_POINTS:
            _OOM_SCORE.write_text(str(_OOM_POINTS), encoding="ascii")


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies (Linux), also while it is stopped or hangs.

    Elsewhere the end of its socket is all that ends it.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
