"""Halves of a computation on two cores, for passes over a few tokens on the Linux CPU.

MLX: computes with the threads of the BLAS, of which there is one less than CPUs (`platform.blas_threads`). Of two CPUs,
the second one is idle while the first one computes the prompt of a later turn.
Here: a thread computes one half of large products and of attention meanwhile. Unlike the BLAS's threads, it sleeps
between its halves, and its caller computes a half that it has not begun: on busy CPUs nothing waits for it to begin.
Gain: 35 tokens behind 2,245 take 164 ms instead of 249 where the second core is free (`docs/performance.md`).
Delete when: the BLAS's threads sleep between products, so that it can have one for every CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from providers.engines.process import platform

__all__ = ["SecondCore", "find_second_core"]

First = TypeVar("First")
Second = TypeVar("Second")


class SecondCore:
    """A thread that computes in numpy beside its caller. MLX's arrays stay with the caller's thread."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="second core")

    def both(self, first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
        """The results of two functions of about the same duration. Raises what one of them raises, after both ended."""
        beside = self._executor.submit(second)
        try:
            here = first()
        finally:
            begun = not beside.cancel()
            if begun:
                wait([beside])
        return here, beside.result() if begun else second()


def find_second_core() -> SecondCore | None:
    """A thread for a second CPU, where the BLAS uses one CPU of several; otherwise None."""
    return SecondCore() if platform.blas_threads() == 1 and platform.cpu_count() > 1 else None
