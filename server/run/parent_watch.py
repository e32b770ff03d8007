"""The worker's two reasons to end: a word from the main process, or the main process's death.

The main process sends one of two words over a pipe before granian begins to wait for open connections:
`drain` (SIGTERM: running answers get the grace period) or `now` (Ctrl-C: they end immediately). Without the pipe (the
`granian` command) the worker watches only for the parent's death.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import attrs

import otel
from server.drain import Drain
from server.run.scratch import delete

__all__ = ["Lifecycle", "StopWord", "exit_orphaned"]

StopWord = Literal["drain", "now"]

_logger = otel.get_logger(__name__)


def exit_orphaned(scratch: Path | None = None) -> None:
    """Delete the folder of temporary files in place of the main process, and exit without waiting.

    Engines end by themselves when this process's end of their sockets closes.
    """
    _logger.error("the main process has died; the worker ends")
    if scratch is not None:
        delete(scratch)
    logging.shutdown()  # waits for the log's reader only for a bounded time
    os._exit(1)


@attrs.define(kw_only=True, eq=False)
class Lifecycle:
    """Starts a drain when the main process sends a word, and ends this process when the main process dies.

    It belongs to one event loop.
    """

    connection: Connection | None = None
    """Read end of the pipe for a `StopWord`; None without a `Launcher`."""
    on_orphaned: Callable[[], None] = exit_orphaned
    """Called when the main process has died, for any reason."""
    _drain: Drain | None = attrs.field(default=None, init=False)
    _watched: list[int] = attrs.field(factory=list, init=False)

    def start(self, drain: Drain) -> None:
        """Begin to watch from the running loop. Called when the application starts."""
        self._drain = drain
        parent = multiprocessing.parent_process()
        if parent is not None:
            self._watch(int(parent.sentinel), self._orphaned)
        if self.connection is not None:
            self._watch(self.connection.fileno(), self._receive_word)

    def stop(self) -> None:
        """Stop reading words from the main process. Its death is watched until this process ends. Idempotent."""
        if self.connection is not None:
            self._unwatch(self.connection.fileno())

    def _watch(self, fd: int, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().add_reader(fd, callback)
        self._watched.append(fd)

    def _unwatch(self, fd: int) -> None:
        if fd in self._watched:
            self._watched.remove(fd)
            asyncio.get_running_loop().remove_reader(fd)

    def _receive_word(self) -> None:
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
