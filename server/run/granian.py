"""Granian as this service runs it: one ASGI worker on a socket that is bound before anything loads.

    main process    reads settings, binds the port, fetches weights, waits for signals
      └─ worker     the Litestar application; starts one engine process a model

What `Launcher` changes in granian, and why: the socket is ours (a port in use is found before weights load, and port
0 has a number to print); the worker hears of SIGTERM and Ctrl-C before granian waits for its open streams; a second
signal hurries, a third kills; SIGHUP ends the server instead of starting a second worker beside the first.
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
"""Seconds the worker has to close down after its last answer has ended, before it is killed."""


class PortUnavailable(Exception):
    """The address cannot be listened on; the message says why in one line."""


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet, so that nobody connects before there is somebody to answer.

    Without SO_REUSEPORT, which granian sets: with it two servers would share one port and neither would know.

    Raises:
        PortUnavailable: in use, not allowed, or not an address of this machine.
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
        return f"port {port} of {host} is in use; stop what listens there, or choose another with --port"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"port {port} of {host} needs privileges; choose one from 1024 up with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {host!r}: it is not an address of this machine"
    return f"cannot listen on {host}:{port}: {error.strerror}"


def url_of(listener: socket.socket) -> str:
    """Where a client on this machine finds the server, e.g. `http://127.0.0.1:8000`."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def build_app(settings: Settings, connection: Connection, url: str) -> EnginesFirst:
    """The application, in the worker: what granian calls there."""
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
    """Serve until a signal ends it; returns after SIGTERM and Ctrl-C.

    Raises:
        PortUnavailable: somebody else began to listen since `bind`.
        SystemExit: 1, the worker failed.
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
    """A granian server with one worker, a socket of its own and a pipe to that worker."""

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
        with _interrupts_ignored():
            super()._spawn_workers(spawn_target, target_loader)

    def signal_handler_interrupt(self, signum: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        """First signal: end as it asks. Second: end now. Third: kill."""
        self._signals += 1
        for worker in self.wrks:
            worker.interrupt_by_parent = True  # Ctrl-C reaches the worker too: its exit is no failure
        if self._signals == 1:
            self._word = "now" if signum == signal.SIGINT else "drain"
            super().signal_handler_interrupt()
        elif self._signals == 2:
            self._tell("now")
        else:
            for worker in self.wrks:
                worker.kill()

    def signal_handler_reload(self, signum: int = signal.SIGHUP, frame: FrameType | None = None) -> None:
        self.signal_handler_interrupt(signum, frame)

    def shutdown(self, exit_code: int = 0) -> None:
        self._tell(self._word)
        self.workers_kill_timeout = _HURRY + (self._grace_period if self._word == "drain" else 0)
        super().shutdown(exit_code)

    def _tell(self, word: StopWord) -> None:
        with contextlib.suppress(OSError):
            self._stop_words.send(word)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A process started meanwhile ignores Ctrl-C until it sets handlers of its own: no traceback out of an import."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
