"""The watchdog: notices an engine that neither works nor dies."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from providers.engine_host.frames import Beat

__all__ = ["Watchdog", "end_of"]

_SILENCE_SECONDS = 20.0
"""The longest time without a beat. The thread that sends them only waits for the GIL and for the server."""
_LOADING_SILENCE_SECONDS = 60.0
"""The same while loading, at least: imports of native libraries hold the GIL."""
_LOADING_FACTOR = 10.0
_LOADING_SECONDS = 600.0
"""Loading may take this many timeouts without progress, and at least so long: kernels compile, and files are read in
one piece."""
_SLOW_FACTOR = 10.0
"""This many times the longest unit of work so far is always allowed: a step computes chunks of one prompt or of many,
and a slow machine with a large model takes minutes for them."""


class Watchdog:
    """Decides from one engine's beats whether it hangs.

    It counts its own ticks and reads no clock: while the machine sleeps or the server's loop is blocked, beats that
    were sent are not received, and the engine is not to blame.
    """

    def __init__(self, timeout: float, interval: float = 1.0) -> None:
        """`timeout`: seconds that a thread with work may take for one unit of it; 0: the engine is never at fault.

        `interval`: seconds between two ticks.
        """
        self._timeout = timeout
        self._interval = interval
        self._last = Beat("loading", 0, 0, False)
        self._silent = self._stuck = self._preparing = 0.0
        """Seconds since the last beat, since the MLX thread's last progress, and on the intake's current command."""
        self._longest = 0.0
        """Seconds that the MLX thread has taken for one unit of work, at most, after loading."""

    def beat(self, beat: Beat) -> None:
        """Take a beat of the engine."""
        last, self._last = self._last, beat
        self._silent = 0.0
        if beat.activity == "idle" or (beat.steps, beat.activity) != (last.steps, last.activity):
            if last.activity == "working":
                self._longest = max(self._longest, self._stuck)
            self._stuck = 0.0
        if not beat.preparing or beat.commands != last.commands:
            self._preparing = 0.0

    def loaded(self) -> None:
        """Take note of the end of loading: the next beat, which tells it too, may never come."""
        self.beat(msgspec.structs.replace(self._last, activity="idle", preparing=False))

    def tick(self) -> str | None:
        """Count an interval. Returns why the engine counts as hung, or None."""
        if not self._timeout:
            return None
        self._silent += self._interval
        self._stuck += self._interval
        self._preparing += self._interval
        loading = self._last.activity == "loading"
        timeout = max(self._timeout, self._longest * _SLOW_FACTOR)
        if loading:
            timeout = max(_LOADING_SECONDS, self._timeout * _LOADING_FACTOR)
        silence = max(_LOADING_SILENCE_SECONDS, self._timeout) if loading else min(_SILENCE_SECONDS, self._timeout)
        if self._silent >= silence:
            return f"it has sent no sign of life for {silence:g} s"
        if self._stuck >= timeout:
            return f"its MLX thread has made no progress for {timeout:g} s ({self._last.activity})"
        if self._preparing >= timeout:
            return f"its intake has worked on one request for {timeout:g} s"
        return None

    async def wait_hung(self) -> str:
        """Return when the engine hangs, with the reason."""
        while (reason := self.tick()) is None:  # noqa: ASYNC110 - only the absence of events can end it
            await asyncio.sleep(self._interval)
        return reason


async def end_of(
    lost: Coroutine[Any, Any, str], ending: asyncio.Event, hung: Coroutine[Any, Any, str]
) -> tuple[bool, str]:
    """Wait until an engine is lost, hangs or has to end. Returns whether it hangs, and the reason."""
    losing, hanging = asyncio.ensure_future(lost), asyncio.ensure_future(hung)
    stopping = asyncio.ensure_future(ending.wait())
    try:
        await asyncio.wait({losing, stopping, hanging}, return_when=asyncio.FIRST_COMPLETED)
        if losing.done():
            return False, losing.result()
        return (False, "it was ended") if stopping.done() else (True, hanging.result())
    finally:
        for each in (losing, stopping, hanging):
            each.cancel()
