"""The WebSockets of this process, which granian closes as soon as it begins to stop.

granian waits for responses when it stops, not for WebSockets: their clients would lose them without a word. The worker
therefore begins to stop when the last one has closed. The drain ends every one of them within the grace period.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["OPEN_SOCKETS", "OpenSockets"]


class OpenSockets:
    """Counts them. Belongs to one event loop."""

    def __init__(self) -> None:
        self._open = 0
        self._waiting: list[Callable[[], None]] = []
        self.on_stop: Callable[[], None] = lambda: None
        """Called when the process is to stop: it makes the sockets close."""

    @contextmanager
    def one(self) -> Iterator[None]:
        """Context of an open socket."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                waiting, self._waiting = self._waiting, []
                for callback in waiting:
                    callback()

    def stop(self, callback: Callable[[], None]) -> None:
        """Call `callback` when no socket is open, which may be now."""
        self.on_stop()
        if self._open:
            self._waiting.append(callback)
        else:
            callback()


OPEN_SOCKETS = OpenSockets()
"""Of this process: granian makes the objects that stop it itself."""
