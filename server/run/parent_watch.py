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

from server.drain import Drain

__all__ = ["Lifecycle", "StopWord"]

StopWord = Literal["drain", "now"]


def _exit_at_once() -> None:
    """Engines end by themselves when this process's end of their sockets closes, so nothing needs to be awaited."""
    sys.stderr.write("the main process is gone; the worker ends\n")
    os._exit(1)


@attrs.define(kw_only=True, eq=False)
class Lifecycle:
    """Turns what happens to the main process into a drain. Belongs to one event loop."""

    connection: Connection | None = None
    """Read end of the pipe that brings a `StopWord`; None where nobody sends one."""
    on_orphaned: Callable[[], None] = _exit_at_once
    """Called when the main process died, however it did."""
    _drain: Drain | None = attrs.field(default=None, init=False)
    _watched: list[int] = attrs.field(factory=list, init=False)

    def start(self, drain: Drain) -> None:
        """Watch from the running loop; call it when the application starts."""
        self._drain = drain
        parent = multiprocessing.parent_process()
        if parent is not None:
            self._watch(int(parent.sentinel), self._orphaned)
        if self.connection is not None:
            self._watch(self.connection.fileno(), self._told)

    def stop(self) -> None:
        """Listen to the main process no more. Its death is watched to the end of this one. Idempotent."""
        if self.connection is not None:
            self._unwatch(self.connection.fileno())

    def _watch(self, fd: int, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().add_reader(fd, callback)
        self._watched.append(fd)

    def _unwatch(self, fd: int) -> None:
        if fd in self._watched:
            self._watched.remove(fd)
            asyncio.get_running_loop().remove_reader(fd)

    def _told(self) -> None:
        assert self.connection is not None
        assert self._drain is not None
        try:
            word: StopWord = self.connection.recv()
        except (EOFError, OSError):
            self._unwatch(self.connection.fileno())
            return
        if word == "now":
            self._drain.expire()
        else:
            self._drain.begin()

    def _orphaned(self) -> None:
        for fd in tuple(self._watched):
            self._unwatch(fd)
        self.on_orphaned()
