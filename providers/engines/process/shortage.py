"""Errors that mean that the machine is short of something, and not that the request or the model is wrong."""

from __future__ import annotations

import errno
import re

__all__ = ["is_out_of_memory", "is_shortage"]

_OUT_OF_MEMORY = re.compile(
    r"out ?of ?memory|insufficient memory|unable to allocate|attempting to allocate|bad_alloc", re.IGNORECASE
)
"""Words of MLX's RuntimeErrors: Metal's command buffers, Metal's and the CPU's allocators, CUDA, C++."""
_SHORTAGES = frozenset({errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EIO})


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, of the process or of the device."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None
    )


def is_shortage(error: BaseException) -> bool:
    """Whether the error, or one that caused it, may be gone at the next try."""
    cause: BaseException | None = error
    while cause is not None:
        if is_out_of_memory(cause) or (isinstance(cause, OSError) and cause.errno in _SHORTAGES):
            return True
        cause = cause.__cause__
    return False
