"""A thread beside its caller computes the second half, or the caller does."""

from __future__ import annotations

import threading

import pytest

from providers.engines.cpu.second_core import SecondCore, find_second_core
from providers.engines.process import platform


def test_the_halves_are_computed_together() -> None:
    met = threading.Barrier(2, timeout=60)

    def half() -> int:
        met.wait()
        return threading.get_ident()

    here, beside = SecondCore().both(half, half)

    assert here == threading.get_ident() != beside


def test_a_half_that_the_thread_has_not_begun_is_computed_here() -> None:
    core, occupied, free = SecondCore(), threading.Event(), threading.Event()

    def occupy() -> None:
        occupied.set()
        assert free.wait(60)

    other = threading.Thread(target=core.both, args=(free.wait, occupy))
    other.start()
    assert occupied.wait(60)

    here, beside = core.both(threading.get_ident, threading.get_ident)

    free.set()
    other.join()
    assert here == beside == threading.get_ident()


def test_an_error_of_the_first_half_is_raised_after_the_second_has_ended() -> None:
    begun, ended = threading.Event(), threading.Event()

    def fail() -> None:
        assert begun.wait(60)
        raise ValueError("first")

    def end() -> None:
        begun.set()
        ended.set()

    with pytest.raises(ValueError, match="first"):
        SecondCore().both(fail, end)

    assert ended.is_set()


def test_an_error_of_the_second_half_is_raised() -> None:
    def fail() -> None:
        raise ValueError("second")

    with pytest.raises(ValueError, match="second"):
        SecondCore().both(lambda: None, fail)


@pytest.mark.parametrize(("threads", "cpus", "is_found"), [(1, 2, True), (1, 8, True), (7, 8, False), (1, 1, False)])
def test_a_second_core_is_used_where_the_blas_has_one_of_several(
    threads: int, cpus: int, is_found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "blas_threads", lambda: threads)
    monkeypatch.setattr(platform, "cpu_count", lambda: cpus)

    assert (find_second_core() is not None) == is_found
