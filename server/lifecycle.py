"""The worker process around the application: its log, its telemetry, and how it learns that it must end.

The main process sends one of two words over a pipe before granian begins to wait for open connections:
`drain` (SIGTERM: answers in progress get the grace period) or `now` (Ctrl-C: they end at once). Without the pipe
(the `granian` command) only the parent's death is watched.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Literal

import attrs

import otel
from server.drain import Drain

__all__ = ["Lifecycle", "StopWord"]

StopWord = Literal["drain", "now"]


def _exit_at_once() -> None:
    """Engines end by themselves when this process's end of their sockets closes, so nothing needs to be awaited."""
    sys.stderr.write("the main process is gone; the worker ends\n")
    os._exit(1)


@attrs.define(kw_only=True, eq=False)
class Lifecycle:
    """What the worker process does for one application. Belongs to one event loop."""

    connection: Connection | None = None
    """Read end of the pipe that brings a `StopWord`; None where nobody sends one."""
    log_level: str = "info"
    log_format: otel.LogFormat = "console"
    on_orphaned: Callable[[], None] = _exit_at_once
    """Called when the main process died, however it did."""
    _drain: Drain | None = attrs.field(default=None, init=False)
    _watched: list[int] = attrs.field(factory=list, init=False)

    @asynccontextmanager
    async def running(self, drain: Drain, *, version: str) -> AsyncIterator[None]:
        """Log, trace and watch while the block runs, which is the application's whole life; then flush."""
        otel.configure_logging(self.log_level, self.log_format)
        telemetry = otel.setup(service_version=version)
        self.watch(drain)
        try:
            yield
        finally:
            self._stop_listening()
            telemetry.shutdown()

    def watch(self, drain: Drain) -> None:
        """From now on the main process's word begins or ends the drain, and its death ends this process."""
        self._drain = drain
        parent = multiprocessing.parent_process()
        if parent is not None:
            self._watch(int(parent.sentinel), self._orphaned)
        if self.connection is not None:
            self._watch(self.connection.fileno(), self._told)

    def _stop_listening(self) -> None:
        """The parent's death stays watched: a flush may take a while."""
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
