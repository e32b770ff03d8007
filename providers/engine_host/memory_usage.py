"""How much memory a process has, as its system counts."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

__all__ = ["resident_bytes"]


def resident_bytes(pid: int | None) -> int | None:
    """Resident bytes of a process of ours; None where it has ended, or its system does not tell."""
    if pid is None:
        return None
    try:
        return _from_libproc(pid) if sys.platform == "darwin" else _from_proc(pid)
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _from_proc(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class _Usage(ctypes.Structure):
    """`rusage_info_v0` of <sys/resource.h>."""

    _fields_ = [
        ("uuid", ctypes.c_uint8 * 16),
        *(
            (name, ctypes.c_uint64)
            for name in (
                "user_time",
                "system_time",
                "pkg_idle_wkups",
                "interrupt_wkups",
                "pageins",
                "wired_size",
                "resident_size",
                "phys_footprint",
                "proc_start_abstime",
                "proc_exit_abstime",
            )
        ),
    ]


@functools.cache
def _libproc() -> ctypes.CDLL:
    return ctypes.CDLL("/usr/lib/libproc.dylib", use_errno=True)


def _from_libproc(pid: int) -> int | None:
    usage = _Usage()
    failed = _libproc().proc_pid_rusage(pid, 0, ctypes.byref(usage))
    return None if failed else int(usage.resident_size)
