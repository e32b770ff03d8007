"""The worker's two reasons to end: a word from the main process, or the main process's death. And its new models.

The main process sends one of two words over a pipe before granian begins to wait for open connections:
`drain` (SIGTERM: running answers get the grace period) or `now` (Ctrl-C: they end immediately). Without the pipe (the
`granian` command) the worker watches only for the parent's death.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs

import otel
from server.drain import Drain
from server.run.open_sockets import OPEN_SOCKETS
from server.run.scratch import delete

if TYPE_CHECKING:
    from server.run.reload import Refused, Reloaded

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
    reloads: Connection | None = None
    """Read end of the pipe for what the file of `--config` has after SIGHUP. A pipe of its own: the main process writes
    to it from a thread, and a worker that hangs must not keep a `StopWord` waiting behind models.
    """
    on_reload: Callable[[Reloaded | Refused], Awaitable[None]] | None = None
    """Called with it, one after the other."""
    on_orphaned: Callable[[], None] = exit_orphaned
    """Called when the main process has died, for any reason."""
    _drain: Drain | None = attrs.field(default=None, init=False)
    _watched: list[int] = attrs.field(factory=list, init=False)
    _found: asyncio.Queue[Reloaded | Refused] = attrs.field(factory=asyncio.Queue, init=False)
    _reloader: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    def start(self, drain: Drain) -> None:
        """Begin to watch from the running loop. Called when the application starts."""
        self._drain = drain
        OPEN_SOCKETS.on_stop = drain.begin
        parent = multiprocessing.parent_process()
        if parent is not None:
            self._watch(int(parent.sentinel), self._orphaned)
        if self.connection is not None:
            self._watch(self.connection.fileno(), self._receive_word)
        if self.reloads is not None:
            self._watch(self.reloads.fileno(), self._receive_models)
            self._reloader = asyncio.create_task(self._reload(), name="reload")

    def stop(self) -> None:
        """Stop reading from the main process. Its death is watched until this process ends. Idempotent."""
        for connection in (self.connection, self.reloads):
            if connection is not None:
                self._unwatch(connection.fileno())
        if self._reloader is not None:
            self._reloader.cancel()

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

    def _receive_models(self) -> None:
        assert self.reloads is not None
        try:
            self._found.put_nowait(self.reloads.recv())
        except (EOFError, OSError):
            self._unwatch(self.reloads.fileno())

    async def _reload(self) -> None:
        assert self._drain is not None
        while True:
            found = await self._found.get()
            if self.on_reload is not None and not self._drain.begun:
                try:
                    await self.on_reload(found)
                except Exception:
                    _logger.exception("the models could not be reloaded")

    def _orphaned(self) -> None:
        for fd in tuple(self._watched):
            self._unwatch(fd)
        self.on_orphaned()
