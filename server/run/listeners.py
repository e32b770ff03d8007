"""Several sockets in one granian worker, which by itself serves one.

`serve_lifespan_worker` is granian's own function with two of its names replaced in the worker's process: the object
that serves a socket and the signal that stops it. Each replacement holds one of granian's objects per socket, and the
application, its event loop and its lifespan stay single.
"""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from threading import Lock
from typing import Any

from granian import Granian
from granian._granian import ASGIWorker, SocketHolder, WorkerSignal

from server.run.open_sockets import OPEN_SOCKETS
from server.run.sockets import BACKLOG

__all__ = ["Holders", "serve_lifespan_worker"]


class Holders:
    """granian's holders of several sockets, in the place of one holder. It travels to the worker."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        listens_itself = sys.platform == "linux" or sys.platform.startswith("freebsd")
        holder: Callable[..., SocketHolder] = SocketHolder
        arguments = (False, BACKLOG) if listens_itself else (False,)
        self.each = [holder(one.fileno(), *arguments) for one in sockets]

    def is_uds(self) -> bool:
        return False


class _Signals:
    """granian's stop signals of several servers, in the place of one. Calls back when all servers have ended."""

    def __init__(self) -> None:
        self._signals: list[WorkerSignal] = []
        self._callback: Callable[[], None] = lambda: None
        self._left = 0
        self._lock = Lock()
        self._begun = self._stopping = False

    def add_cb(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def another(self) -> WorkerSignal:
        """The signal of one more server."""
        signal = WorkerSignal()
        signal.add_cb(self._ended)  # called in a thread of the server
        self._signals.append(signal)
        self._left += 1
        if self._stopping:
            signal.set()  # the stop arrived while the application started
        return signal

    def set(self) -> None:
        """Stop all servers when the last WebSocket has closed.

        Only the first call counts: a signal that has been received would block a later one.
        """
        if not self._begun:
            self._begun = True
            OPEN_SOCKETS.stop(self._stop)

    def _stop(self) -> None:
        self._stopping = True
        for signal in self._signals:
            signal.set()

    def _ended(self) -> None:
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._callback()


class _Workers:
    """granian's servers of several sockets, in the place of one. They share the application's event loop."""

    def __init__(self, worker_id: int, sock: tuple[None, Holders], *options: Any) -> None:
        self._workers = [ASGIWorker(worker_id, (None, holder), *options) for holder in sock[1].each]

    def serve_mtr(self, scheduler: Any, loop: Any, signals: _Signals) -> None:
        for worker, signal in [(worker, signals.another()) for worker in self._workers]:
            worker.serve_mtr(scheduler, loop, signal)  # type: ignore[attr-defined]


def serve_lifespan_worker(*arguments: Any) -> None:
    """Serve `Holders` in this process, which granian started for it.

    Garbage is collected only once `EnginesFirst` has built the application: the collections before would take a seventh
    of the time, as nearly all that imports make stays.
    """
    gc.disable()
    server: Any = import_module("granian.server.mp")
    signals: Any = import_module("granian._signals")
    server.ASGIWorker = _Workers
    signals.WorkerSignal = _Signals
    Granian._spawn_asgi_lifespan_worker(*arguments)
