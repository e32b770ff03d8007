"""The footprint of a process, of this one and of none."""

from __future__ import annotations

import os

import psutil
import pytest

from providers.engine_host.frames import Memory
from providers.memory.footprint import footprint, private_bytes


def test_it_is_the_greater_of_mlx_and_process() -> None:
    own = private_bytes(os.getpid())
    assert 0 < own < psutil.Process().memory_info().rss
    small, large = (Memory(active=size, peak=0, cache=1, prefix_cache=size // 2) for size in (0, 1 << 50))
    assert footprint(os.getpid(), small) == pytest.approx(own, rel=0.2)
    assert footprint(os.getpid(), large) == (1 << 50) + 1


def test_without_a_process_nothing_is_taken() -> None:
    assert footprint(None, None) == 0
    assert private_bytes((1 << 22) + 7) == 0
