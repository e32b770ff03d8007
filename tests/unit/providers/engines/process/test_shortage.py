"""Errors of a machine that is short of something."""

from __future__ import annotations

import errno

import pytest

from providers.engines.process.engine import EngineLoadError
from providers.engines.process.shortage import is_out_of_memory, is_shortage


@pytest.mark.parametrize(
    "message",
    [
        "[metal::malloc] Attempting to allocate 99 bytes which is greater than the maximum allowed buffer size",
        "[malloc_or_wait] Unable to allocate 99 bytes.",
        "[METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackError)",
        "cudaMallocAsync(&data, size, stream) failed: out of memory",
        "std::bad_alloc",
    ],
)
def test_mlx_s_own_words_for_no_memory_are_known(message: str) -> None:
    assert is_out_of_memory(RuntimeError(message))
    assert is_shortage(RuntimeError(message))


def test_a_cause_counts() -> None:
    error = EngineLoadError("cannot be converted")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_shortage(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [EngineLoadError("no such folder"), FileNotFoundError(errno.ENOENT, "gone"), RuntimeError("shapes do not match")],
)
def test_what_is_wrong_stays_wrong(error: Exception) -> None:
    assert not is_shortage(error)
