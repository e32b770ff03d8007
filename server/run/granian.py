"""Granian with this service's settings: one ASGI worker on a socket that is bound before anything loads.

    main process    reads settings, binds the port, fetches weights, waits for signals
      └─ worker     the Litestar application; starts one engine process per model

`Launcher` changes granian in four ways:

- It binds the socket itself: a port in use is an error before weights load, and port 0 gets a number to print.
- It notifies the worker of SIGTERM and Ctrl-C before granian waits for open streams.
- A second signal ends running answers immediately; a third kills the worker.
- SIGHUP ends the server, unless it was ignored at the start (`nohup`); granian would start a second worker beside the
  first.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from types import FrameType
from typing import TYPE_CHECKING, Any

from granian import Granian
from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels

from server.run.parent_watch import StopWord
from server.settings.settings import Settings

if TYPE_CHECKING:
    from litestar import Litestar

    from server.run.preload import EnginesFirst

__all__ = ["Launcher", "PortUnavailable", "bind", "build_app", "serve", "url_of"]

_BACKLOG = 1024
_HURRY = 5.0
"""Seconds that the worker has to shut down after its last answer has ended, before it is killed."""


class PortUnavailable(Exception):
    """Raised when the server cannot listen on the address; the message gives the reason in one line."""


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet, so that no client connects before a worker exists.

    It is not set to SO_REUSEPORT, which granian would set: with it two servers could share one port unnoticed.

    Raises:
        PortUnavailable: the port is in use or not allowed, or the address does not belong to this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise PortUnavailable(f"cannot listen on {host!r}: it is not an address of this machine") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise PortUnavailable(_why(host, port, error)) from None
    return listener


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; stop the program that uses it, or choose another port with --port"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"port {port} of {host} needs privileges; choose a port from 1024 up with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {host!r}: it is not an address of this machine"
    return f"cannot listen on {host}:{port}: {error.strerror}"


def url_of(listener: socket.socket) -> str:
    """The server's URL for a client on this machine, such as `http://127.0.0.1:8000`."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def build_app(settings: Settings, connection: Connection, url: str) -> EnginesFirst:
    """The application; granian calls this function in the worker."""
    from providers.registry import ModelRegistry
    from server.run.preload import EnginesFirst

    registry = ModelRegistry(settings.models)

    def build() -> Litestar:
        from server.app import create_app
        from server.run.banner import announce
        from server.run.parent_watch import Lifecycle

        lifecycle = Lifecycle(connection=connection)
        return announce(create_app(settings, registry, lifecycle=lifecycle), registry, settings, url)

    return EnginesFirst(settings, registry, build)


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve until a signal ends the server. Returns after SIGTERM and Ctrl-C.

    Raises:
        PortUnavailable: another process has begun to listen since `bind`.
        SystemExit: status 1, the worker failed.
    """
    try:
        listener.listen(_BACKLOG)
    except OSError as error:
        raise PortUnavailable(_why(settings.host, settings.port, error)) from None
    multiprocessing.set_start_method("spawn", force=True)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    Launcher(settings, listener, sender).serve(
        target_loader=partial(build_app, settings, receiver, url_of(listener)), wrap_loader=False
    )


class Launcher(Granian):  # type: ignore[misc, valid-type]
    """A granian server with one worker, its own socket and a pipe to the worker."""

    def __init__(self, settings: Settings, listener: socket.socket, stop_words: Connection) -> None:
        super().__init__(
            "server.app:create_app",
            address=settings.host,
            port=listener.getsockname()[1],
            interface=Interfaces.ASGI,
            loop=Loops.uvloop,
            http=HTTPModes.http1,
            workers=1,
            backlog=_BACKLOG,
            websockets=False,
            log_level=LogLevels.warning,
        )
        self._listener = listener
        self._stop_words = stop_words
        self._grace_period = settings.grace_period
        self._word: StopWord = "now"
        self._signals = 0
        self._nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def _init_shared_socket(self) -> None:
        fd = self._listener.fileno()
        holder: Callable[..., SocketHolder] = SocketHolder
        listens_itself = sys.platform == "linux" or sys.platform.startswith("freebsd")
        self._ssp = None
        self._shd = holder(fd, False, self.backlog) if listens_itself else holder(fd, False)
        self._sfd = fd
        self._listener.set_inheritable(True)
        self._sso = self._listener

    def _spawn_workers(self, spawn_target: Callable[..., None], target_loader: Callable[..., Any]) -> None:
        if self._nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # granian has set a handler; workers inherit what is ignored
        with _interrupts_ignored():
            super()._spawn_workers(spawn_target, target_loader)

    def signal_handler_interrupt(self, signum: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        """End the server. The first signal drains (SIGTERM) or ends now (Ctrl-C), a second ends now, a third kills."""
        self._signals += 1
        for worker in self.wrks:
            worker.interrupt_by_parent = True  # Ctrl-C reaches the worker too: its exit is not a failure
        if self._signals == 1:
            self._word = "now" if signum == signal.SIGINT else "drain"
            super().signal_handler_interrupt()
        elif self._signals == 2:
            self._notify("now")
        else:
            for worker in self.wrks:
                worker.kill()

    def signal_handler_reload(self, signum: int = signal.SIGHUP, frame: FrameType | None = None) -> None:
        self.signal_handler_interrupt(signum, frame)

    def shutdown(self, exit_code: int = 0) -> None:
        self._notify(self._word)
        self.workers_kill_timeout = _HURRY + (self._grace_period if self._word == "drain" else 0)
        super().shutdown(exit_code)

    def _notify(self, word: StopWord) -> None:
        with contextlib.suppress(OSError):
            self._stop_words.send(word)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Make processes started in the block ignore Ctrl-C until they set handlers: no traceback from their imports."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
