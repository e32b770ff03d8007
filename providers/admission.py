"""Admission: how many requests a model answers at once, and how many may wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from types import TracebackType
from typing import NoReturn

from providers.errors import ModelNotReady, QueueFull, QueueTimeout, ServiceError
from providers.protocols import QueueStats

__all__ = ["AdmissionQueue", "Slot"]

_RECENT = 256
"""Requests over which the mean and the maximum times are taken."""
_DRAIN_RETRY_SECONDS = 5.0


class AdmissionQueue:
    """At most `max_concurrency` requests admitted, at most `queue_size` waiting, first come first served.

    A place is handed from the request that leaves to the one that waited longest, so nobody can slip in between.
    Every request is counted once: completed, failed or cancelled (by how its `Slot` block, or its wait, ended), or
    rejected (the queue was full, the wait too long, the model not ready).
    """

    def __init__(self, *, max_concurrency: int, queue_size: int, queue_timeout: float) -> None:
        if max_concurrency < 1 or queue_size < 0 or queue_timeout < 0:
            raise ValueError("max_concurrency must be at least 1, queue_size and queue_timeout at least 0")
        self._max_concurrency = max_concurrency
        self._queue_size = queue_size
        self._queue_timeout = queue_timeout
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._active = 0
        self._draining = False
        self._completed = self._failed = self._cancelled = self._rejected = 0
        self._waits: deque[float] = deque(maxlen=_RECENT)
        self._services: deque[float] = deque(maxlen=_RECENT)

    @property
    def active(self) -> int:
        return self._active

    @property
    def pending(self) -> int:
        # A cancelled waiter stays in the deque until its task runs again.
        return sum(not waiter.done() for waiter in self._waiting)

    @property
    def stats(self) -> QueueStats:
        return QueueStats(
            active=self._active,
            pending=self.pending,
            completed=self._completed,
            failed=self._failed,
            cancelled=self._cancelled,
            rejected=self._rejected,
            wait_seconds_mean=_mean(self._waits),
            wait_seconds_max=max(self._waits, default=0.0),
            service_seconds_mean=_mean(self._services),
            service_seconds_max=max(self._services, default=0.0),
        )

    async def admit(self) -> Slot:
        """Wait for a place and return it; use it at once, as `with slot:`.

        Raises:
            QueueFull: `queue_size` requests wait already.
            QueueTimeout: no place came free within `queue_timeout`.
            ModelNotReady: the queue drains.
        """
        if self._draining:
            self.refuse(_draining())
        arrived = monotonic()
        if self._active < self._max_concurrency:
            self._active += 1
        else:
            await self._wait()
        self._waits.append(monotonic() - arrived)
        return Slot(self)

    def refuse(self, error: ServiceError) -> NoReturn:
        """Count a request as rejected, and raise `error`."""
        self._rejected += 1
        raise error

    def begin_drain(self) -> None:
        """Admit nobody any more: who waits gets `ModelNotReady`, who was admitted goes on. Idempotent."""
        self._draining = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(_draining())

    async def _wait(self) -> None:
        if len(self._waiting) >= self._queue_size and self.pending >= self._queue_size:
            self.refuse(
                QueueFull(
                    f"{self._active} requests are being answered and {self.pending} wait, as many as may",
                    retry_after=self._retry_after(),
                )
            )
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_later(self._queue_timeout, self._expire, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self._cancelled += 1
            # The place may have been given in the very step in which the task was cancelled: pass it on.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._release()
            raise
        except ServiceError:
            self._rejected += 1
            raise
        finally:
            timer.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _expire(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            self._waiting.remove(waiter)
            message = f"no place came free within {self._queue_timeout:g} seconds"
            waiter.set_exception(QueueTimeout(message, retry_after=self._retry_after()))

    def _release(self) -> None:
        self._active -= 1
        while self._waiting and self._active < self._max_concurrency:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._active += 1
                waiter.set_result(None)

    def _leave(self, exception: BaseException | None, service_seconds: float) -> None:
        if exception is None:
            self._completed += 1
        elif isinstance(exception, (asyncio.CancelledError, GeneratorExit)):
            self._cancelled += 1
        else:
            self._failed += 1
        self._services.append(service_seconds)
        self._release()

    def _retry_after(self) -> float:
        """Seconds in which the queue, at its recent pace, moves on by one round; between 1 and 60."""
        return min(60.0, max(1.0, _mean(self._services)))


class Slot:
    """One place, as a context manager that gives it back; how the block ends is how the request is counted."""

    def __init__(self, queue: AdmissionQueue) -> None:
        self._queue = queue
        self._admitted = monotonic()
        self._held = True

    def __enter__(self) -> Slot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._held:
            self._held = False
            self._queue._leave(exception, monotonic() - self._admitted)


def _draining() -> ModelNotReady:
    return ModelNotReady("the server is shutting down", retry_after=_DRAIN_RETRY_SECONDS)


def _mean(values: deque[float]) -> float:
    return sum(values) / len(values) if values else 0.0
