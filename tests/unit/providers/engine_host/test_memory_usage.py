"""Resident memory of the server's own processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from providers.engine_host.memory_usage import resident_bytes


def test_a_living_process_has_the_memory_that_its_system_counts() -> None:
    allocated = bytearray(64 * 1024 * 1024)
    found = resident_bytes(os.getpid())

    assert found is not None
    assert found > len(allocated)


@pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc")
def test_it_is_the_resident_set_of_proc() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        pages = int(Path(f"/proc/{child.pid}/statm").read_text(encoding="ascii").split()[1])
        found = resident_bytes(child.pid)
    finally:
        child.communicate()

    assert found is not None
    assert found >= pages * os.sysconf("SC_PAGE_SIZE")


def test_a_process_that_ended_has_none() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    assert resident_bytes(child.pid) is None


def test_an_engine_without_a_process_has_none() -> None:
    assert resident_bytes(None) is None
