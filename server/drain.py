"""The end of service: refuse new requests, let running answers end, and end those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Drain"]


class Drain:
    """Begins once, and expires `grace_period` seconds later, or sooner. Belongs to one event loop.

    The first code that learns of the shutdown calls `begin`. Running answers read `expired` and
    register callbacks with `when_expired`.
    """

    def __init__(self, grace_period: float, on_begin: Callable[[], None]) -> None:
        self._grace_period = grace_period
        self._on_begin = on_begin
        self._on_begun: set[Callable[[], None]] = set()
        self._on_expired: set[Callable[[], None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.begun = False
        self.expired = False

    def begin(self) -> None:
        """Stop admitting, and start the grace period of running answers. Idempotent; call it on the loop."""
        if self.begun:
            return
        self.begun = True
        self._on_begin()
        self._timer = asyncio.get_running_loop().call_later(self._grace_period, self.expire)
        for callback in tuple(self._on_begun):
            callback()

    def expire(self) -> None:
        """Stop admitting, and end running answers now. Idempotent; call it on the loop."""
        self.begin()
        if self.expired:
            return
        self.expired = True
        self.cancel()
        for callback in tuple(self._on_expired):
            callback()

    def cancel(self) -> None:
        """Cancel the grace period's timer, when no answer is left to end."""
        if self._timer is not None:
            self._timer.cancel()

    def when_begun(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when the drain begins, or soon if it has begun. Returns a function that unregisters it."""
        if self.begun:
            return asyncio.get_running_loop().call_soon(callback).cancel
        self._on_begun.add(callback)
        return lambda: self._on_begun.discard(callback)

    def when_expired(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when the grace period ends, or soon if it has ended. Returns a function that unregisters it.

        Code that waits again after the end has to hear of it again: granian can lose a cancellation in the moment in
        which it delivers.
        """
        if self.expired:
            return asyncio.get_running_loop().call_soon(callback).cancel
        self._on_expired.add(callback)
        return lambda: self._on_expired.discard(callback)
