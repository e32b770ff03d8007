"""Granian with this service's settings: one ASGI worker on sockets that are bound before anything loads.

    main process    reads settings, binds the port, fetches weights, waits for signals
      └─ worker     the Litestar application; starts one engine process per model

`Launcher` changes granian in six ways:

- It serves sockets that are bound already, one or two: a port in use is an error before weights load, and port 0 gets
  a number to print.
- It notifies the worker of SIGTERM and Ctrl-C before granian waits for open streams.
- The worker waits until its WebSockets have closed before it stops (`server.run.open_sockets`).
- A second signal ends running answers immediately, and the next kills the worker. Ctrl-C begins with the former, so
  that the second Ctrl-C forces the end. A worker that had to be killed is exit status 1.
- It accepts `max_connections` connections; by default granian accepts as many as the backlog has places, and a client
  that sends nothing takes one of them.
- SIGHUP ends the server, unless it was ignored at the start (`nohup`). A server that has a file and no terminal reads
  the file again instead (`server.run.reload`). granian would start a second worker beside the first.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from server.run.descriptors import RESERVE, connections_within, raise_limit
from server.run.listeners import Holders, serve_lifespan_worker
from server.run.parent_watch import StopWord
from server.run.reload import ConfigFile, has_terminal
from server.run.scratch import temporary_folder
from server.run.sockets import BACKLOG, end_stalled_writes, listen, url_of
from server.settings.settings import Settings

if TYPE_CHECKING:
    from litestar import Litestar

    from server.run.preload import EnginesFirst

__all__ = ["Launcher", "build_app", "serve"]

_HEADER_MILLISECONDS = 30_000
"""Time that a new or idle connection has to send the head of a request, before it is closed."""
_HURRY = 5.0
"""Seconds that the worker has to shut down after its last answer has ended, before it is killed."""


def build_app(settings: Settings, connection: Connection, reloads: Connection, url: str, scratch: Path) -> EnginesFirst:
    """The application; granian calls this function in the worker. `scratch`: the folder of temporary files."""
    from providers.registry import ModelRegistry
    from providers.residency import Residency
    from server.run.preload import EnginesFirst

    registry = ModelRegistry(settings.models, residency=Residency(settings.memory_limit))

    def build() -> Litestar:
        from server.app import create_app
        from server.run.banner import announce
        from server.run.parent_watch import Lifecycle, exit_orphaned
        from server.run.reload import replace_models

        lifecycle = Lifecycle(
            connection=connection,
            reloads=reloads,
            on_reload=partial(replace_models, registry),
            on_orphaned=partial(exit_orphaned, scratch),
        )
        return announce(create_app(settings, registry, lifecycle=lifecycle), registry, settings, url)

    return EnginesFirst(settings, registry, build)


def serve(settings: Settings, sockets: Sequence[socket.socket], file: ConfigFile | None = None) -> None:
    """Serve until a signal ends the server. Returns after SIGTERM and Ctrl-C. `file`: SIGHUP reads it again.

    Raises:
        PortUnavailable: another process has begun to listen since the sockets were bound.
        SystemExit: status 1, the worker failed.
    """
    end_stalled_writes(sockets, settings.write_timeout)
    listen(sockets)
    multiprocessing.set_start_method("spawn", force=True)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    reloads, reloaded = multiprocessing.Pipe(duplex=False)
    reload = None if file is None or has_terminal() else partial(file.reload, reloaded)
    with temporary_folder() as scratch:
        Launcher(settings, sockets, sender, reload).serve(
            serve_lifespan_worker,
            target_loader=partial(build_app, settings, receiver, reloads, url_of(sockets[0]), scratch),
            wrap_loader=False,
        )


class Launcher(Granian):  # type: ignore[misc, valid-type]
    """A granian server with one worker, its own sockets and a pipe to the worker."""

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[socket.socket],
        stop_words: Connection,
        reload: Callable[[], None] | None = None,
    ) -> None:
        """`reload`: called for SIGHUP, instead of an end; it returns immediately."""
        descriptors = raise_limit(settings.max_connections * len(sockets) + RESERVE)
        super().__init__(
            "server.app:create_app",
            address=settings.host,
            port=sockets[0].getsockname()[1],
            interface=Interfaces.ASGI,
            loop=Loops.uvloop,
            http=HTTPModes.http1,
            workers=1,
            backlog=BACKLOG,
            backpressure=connections_within(descriptors, settings.max_connections, len(sockets)),
            http1_settings=HTTP1Settings(header_read_timeout=_HEADER_MILLISECONDS),
            websockets=True,
            log_level=LogLevels.warning,
        )
        self._sockets = sockets
        self._stop_words = stop_words
        self._grace_period = settings.grace_period
        self._word: StopWord = "now"
        self._signals = 0
        self._killed = False
        self._reload_models = reload
        self._nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def _init_shared_socket(self) -> None:
        self._ssp = None
        self._shd = Holders(self._sockets)
        for bound in self._sockets:
            bound.set_inheritable(True)
        self._sso = self._sockets  # granian sends them to the worker, which holds them open

    def _drop_shared_socket(self) -> None:
        for bound in self._sockets:
            bound.close()

    def _spawn_workers(self, spawn_target: Callable[..., None], target_loader: Callable[..., Any]) -> None:
        if self._nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # granian has set a handler; workers inherit what is ignored
        ignored = [signal.SIGINT] if self._reload_models is None else [signal.SIGINT, signal.SIGHUP]
        with _ignored(ignored):
            super()._spawn_workers(spawn_target, target_loader)

    def _spawn_worker(self, *arguments: Any, **named: Any) -> Any:
        worker = super()._spawn_worker(*arguments, **named)
        worker.kill = partial(self._kill, worker, worker.kill)  # granian calls it too, if a worker does not end
        return worker

    def _kill(self, worker: Any, kill: Callable[[], None]) -> None:
        """Kill a worker that runs. On a busy machine granian kills one that has just ended: it asks a millisecond after
        the end, and the thread that waits for the process has not noted it yet.
        """
        if not wait([worker.inner.sentinel], timeout=0):
            self._killed = True
            kill()

    def signal_handler_interrupt(self, signum: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        """End the server. The first signal drains (SIGTERM) or ends now (Ctrl-C); each further one is a step harder."""
        self._signals += 1
        for worker in self.wrks:
            worker.interrupt_by_parent = True  # Ctrl-C reaches the worker too: its exit is not a failure
        if self._signals == 1:
            self._word = "now" if signum == signal.SIGINT else "drain"
            super().signal_handler_interrupt()
        elif self._word == "drain":
            self._word = "now"
            self._notify("now")
        else:
            for worker in self.wrks:
                worker.kill()

    def signal_handler_reload(self, signum: int = signal.SIGHUP, frame: FrameType | None = None) -> None:
        if self._reload_models is None:
            self.signal_handler_interrupt(signum, frame)
        else:
            super().signal_handler_reload()  # lets the main loop call `_reload`

    def _reload(self, spawn_target: Callable[..., None], target_loader: Callable[..., Any]) -> None:
        self.reload_signal = False
        self.main_loop_interrupt.clear()
        if self.interrupt_signal or self.interrupt_children:  # they came in between
            self.main_loop_interrupt.set()
        if self._reload_models is not None:
            self._reload_models()

    def shutdown(self, exit_code: int = 0) -> None:
        self._notify(self._word)
        self.workers_kill_timeout = _HURRY + (self._grace_period if self._word == "drain" else 0)
        super().shutdown(exit_code)
        if self._killed:
            sys.exit(1)

    def _notify(self, word: StopWord) -> None:
        with contextlib.suppress(OSError):
            self._stop_words.send(word)


@contextlib.contextmanager
def _ignored(signals: Sequence[signal.Signals]) -> Iterator[None]:
    """Make processes started in the block ignore signals until they set handlers.

    Ctrl-C: no traceback from their imports. SIGHUP: a manager of services may send it to all processes of a service.
    """
    before = [(each, signal.signal(each, signal.SIG_IGN)) for each in signals]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)
