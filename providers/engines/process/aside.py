"""Threads for the requests whose preparation takes long, so that others do not wait for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

__all__ = ["THREADS", "Aside"]

THREADS = 2
"""Requests that are prepared at a time; others wait, the oldest first."""


class Aside:
    """Runs preparations. A request that is dropped meanwhile never reaches the engine."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[str, Callable[[], None]]] = queue.SimpleQueue()
        self._pending: set[str] = set()
        self._lock = threading.Lock()
        self._started = False

    @property
    def busy(self) -> bool:
        """Whether requests are being prepared, or wait for that."""
        return bool(self._pending)

    def put(self, request_id: str, prepare: Callable[[], None]) -> None:
        """Call `prepare` on a thread. It calls `end` unless it fails, and raises nothing."""
        with self._lock:
            self._pending.add(request_id)
        self._tasks.put((request_id, prepare))
        if not self._started:
            self._started = True
            for number in range(THREADS):
                threading.Thread(target=self._work, name=f"aside {number}", daemon=True).start()

    def end(self, request_id: str, deliver: Callable[[], None]) -> None:
        """Call `deliver`, unless the request was dropped. A later `drop` does not find it here."""
        with self._lock:
            if request_id in self._pending:
                self._pending.remove(request_id)
                deliver()

    def drop(self, request_id: str) -> bool:
        """Forget a request. Returns whether it was here."""
        with self._lock:
            found = request_id in self._pending
            self._pending.discard(request_id)
            return found

    def _work(self) -> None:
        while True:
            request_id, prepare = self._tasks.get()
            if request_id in self._pending:
                prepare()
                self.drop(request_id)
