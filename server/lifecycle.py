"""How the worker learns that it must end: told by the main process, or because the main process is gone.

The main process sends one of two words over a pipe before granian begins to wait for open connections:
`drain` (SIGTERM: answers in progress get the grace period) or `now` (Ctrl-C: they end at once). Without the pipe
(the `granian` command) only the parent's death is watched.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Literal

import attrs

__all__ = ["Lifecycle", "StopWord"]

StopWord = Literal["drain", "now"]


def _exit_at_once() -> None:
    """Engines end by themselves when this process's end of their sockets closes, so nothing needs to be awaited."""
    sys.stderr.write("the main process is gone; the worker ends\n")
    os._exit(1)


@attrs.define(kw_only=True, eq=False)
class Lifecycle:
    """Two events for the application, set in this order and never cleared. Use it from one event loop."""

    grace_period: float = 10.0
    """Seconds from `drain` to `ending`."""
    connection: Connection | None = None
    """Read end of the pipe that brings a `StopWord`; None where nobody sends one."""
    on_orphaned: Callable[[], None] = _exit_at_once
    draining: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Admit nothing more (503)."""
    ending: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Answers still in progress end now, with an error event."""
    _watched: list[int] = attrs.field(factory=list, init=False)
    _timer: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    def start(self) -> None:
        """Watch from the running loop. Call it when the application starts."""
        loop = asyncio.get_running_loop()
        parent = multiprocessing.parent_process()
        if parent is not None:
            self._watch(loop, int(parent.sentinel), self._orphaned)
        if self.connection is not None:
            self._watch(loop, self.connection.fileno(), self._told)

    def stop(self) -> None:
        """Stop watching the pipe and the clock; the parent is watched to the end of the process. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self.connection is not None:
            self._unwatch(self.connection.fileno())

    def begin(self, word: StopWord) -> None:
        """Start to end, as if the main process had said so."""
        self.draining.set()
        if word == "now" or self.grace_period <= 0:
            self.ending.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.grace_period, self.ending.set)

    def _watch(self, loop: asyncio.AbstractEventLoop, fd: int, callback: Callable[[], None]) -> None:
        loop.add_reader(fd, callback)
        self._watched.append(fd)

    def _unwatch(self, fd: int) -> None:
        if fd in self._watched:
            self._watched.remove(fd)
            asyncio.get_running_loop().remove_reader(fd)

    def _told(self) -> None:
        assert self.connection is not None
        try:
            word = self.connection.recv()
        except (EOFError, OSError):
            self._unwatch(self.connection.fileno())
            return
        self.begin("now" if word == "now" else "drain")

    def _orphaned(self) -> None:
        for fd in tuple(self._watched):
            self._unwatch(fd)
        self.on_orphaned()
