"""An event loop whose time passes only while nothing else can happen, and then takes no time."""

from __future__ import annotations

import asyncio
import selectors

__all__ = ["START", "ClockLoop", "later", "now", "quiet"]

START = 5_000.0
"""The loop's time when a test begins: later than any delay."""
_END = START + 100_000.0
"""The time at which a test has gone wrong."""


class _Clock(selectors.SelectSelector):
    """Instead of waiting, moves its time to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("what the test waits for can never happen")
            self.now += max(0.0, timeout)
            assert self.now < _END, "what the test waits for does not happen"
        return ready


class ClockLoop(asyncio.SelectorEventLoop):
    """An event loop with a time of its own, for what needs neither threads nor other processes."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


async def quiet() -> None:
    """Return when all has happened that can happen without time passing."""
    await asyncio.sleep(1e-6)


async def later(seconds: float) -> None:
    """Return this much later, when all has happened that is due then."""
    await asyncio.sleep(seconds)
    await quiet()


def now() -> float:
    """Seconds since the test began."""
    return asyncio.get_running_loop().time() - START
