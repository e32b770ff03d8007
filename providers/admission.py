"""Admission: how many answers a model gives at once, and how many requests may wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from types import TracebackType
from typing import NamedTuple, NoReturn

from providers.errors import ModelNotReady, QueueFull, QueueTimeout, ServiceError
from providers.protocols import QueueStats

__all__ = ["AdmissionQueue", "Slot"]

_RECENT = 256
"""Requests over which the mean and the maximum times are taken."""


class AdmissionQueue:
    """At most `max_concurrency` places taken, at most `queue_size` requests waiting, first come first served.

    A request takes all its places at once or waits, and nobody overtakes it meanwhile, even where there is room for
    less: a request for many places is not starved by those for one. Every request is counted once: completed, failed
    or cancelled (by how its `Slot` block, or its wait, ended), or rejected (the queue was full, the wait too long, the
    model not ready).
    """

    def __init__(self, *, max_concurrency: int, queue_size: int, queue_timeout: float) -> None:
        if max_concurrency < 1 or queue_size < 0 or queue_timeout < 0:
            raise ValueError("max_concurrency must be at least 1, queue_size and queue_timeout at least 0")
        self._max_concurrency = max_concurrency
        self._queue_size = queue_size
        self._queue_timeout = queue_timeout
        self._waiting: deque[_Waiter] = deque()
        self._taken = 0
        self._active = 0
        self._draining = False
        self._completed = self._failed = self._cancelled = self._rejected = 0
        self._waits: deque[float] = deque(maxlen=_RECENT)
        self._services: deque[float] = deque(maxlen=_RECENT)

    @property
    def active(self) -> int:
        """Requests that have their places."""
        return self._active

    @property
    def taken(self) -> int:
        """Places that are taken: answers in the engine."""
        return self._taken

    @property
    def pending(self) -> int:
        # A cancelled waiter stays in the deque until its task runs again. The copy: metrics are read from any thread.
        return sum(not waiter.admitted.done() for waiter in tuple(self._waiting))

    @property
    def outcomes(self) -> dict[str, int]:
        """Requests that have left, by how."""
        return {
            "completed": self._completed,
            "failed": self._failed,
            "cancelled": self._cancelled,
            "rejected": self._rejected,
        }

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

    async def admit(self, places: int = 1) -> Slot:
        """Wait for so many places and return them as one; use it at once, as `with slot:`.

        Raises:
            ValueError: there never are so many.
            QueueFull: `queue_size` requests wait already.
            QueueTimeout: they did not come free within `queue_timeout`.
            ModelNotReady: the queue drains.
        """
        if not 1 <= places <= self._max_concurrency:
            raise ValueError(f"a request takes 1 to {self._max_concurrency} places, not {places}")
        if self._draining:
            self.refuse(ModelNotReady.shutting_down())
        arrived = monotonic()
        if self._taken + places <= self._max_concurrency and not self.pending:
            self._take(places)
        else:
            await self._wait(places)
        self._waits.append(monotonic() - arrived)
        return Slot(self, places)

    def refuse(self, error: ServiceError) -> NoReturn:
        """Count a request as rejected, and raise `error`."""
        self._rejected += 1
        raise error

    def begin_drain(self) -> None:
        """Admit nobody any more: who waits gets `ModelNotReady`, who was admitted goes on. Idempotent."""
        self._draining = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.admitted.done():
                waiter.admitted.set_exception(ModelNotReady.shutting_down())

    async def _wait(self, places: int) -> None:
        if len(self._waiting) >= self._queue_size and self.pending >= self._queue_size:
            self.refuse(
                QueueFull(
                    f"{self._active} requests are being answered and {self.pending} wait, as many as may",
                    retry_after=self._retry_after(),
                )
            )
        loop = asyncio.get_running_loop()
        waiter = _Waiter(places, loop.create_future())
        self._waiting.append(waiter)
        timer = loop.call_later(self._queue_timeout, self._expire, waiter)
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            self._cancelled += 1
            # The places may have been given in the very step in which the task was cancelled: pass them on.
            admitted = waiter.admitted
            if admitted.done() and not admitted.cancelled() and admitted.exception() is None:
                self._release(places)
            raise
        except ServiceError:
            self._rejected += 1
            raise
        finally:
            timer.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                self._hand_out()

    def _expire(self, waiter: _Waiter) -> None:
        if not waiter.admitted.done():
            self._waiting.remove(waiter)
            message = f"no place came free within {self._queue_timeout:g} seconds"
            waiter.admitted.set_exception(QueueTimeout(message, retry_after=self._retry_after()))
            self._hand_out()

    def _take(self, places: int) -> None:
        self._taken += places
        self._active += 1

    def _release(self, places: int) -> None:
        self._taken -= places
        self._active -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        """Admit who waited longest, as far as the places go."""
        while self._waiting:
            waiter = self._waiting[0]
            if not waiter.admitted.done():
                if self._taken + waiter.places > self._max_concurrency:
                    return
                self._take(waiter.places)
                waiter.admitted.set_result(None)
            self._waiting.popleft()

    def _leave(self, places: int, exception: BaseException | None, service_seconds: float) -> None:
        if exception is None:
            self._completed += 1
        elif isinstance(exception, (asyncio.CancelledError, GeneratorExit)):
            self._cancelled += 1
        else:
            self._failed += 1
        self._services.append(service_seconds)
        self._release(places)

    def _retry_after(self) -> float:
        """Seconds in which the queue, at its recent pace, moves on by one round; between 1 and 60."""
        return min(60.0, max(1.0, _mean(self._services)))


class _Waiter(NamedTuple):
    places: int
    admitted: asyncio.Future[None]


class Slot:
    """A request's places, as a context manager that gives them back. How the block ends is how the request counts."""

    def __init__(self, queue: AdmissionQueue, places: int) -> None:
        self._queue = queue
        self._places = places
        self._admitted = monotonic()
        self._held = True

    def __enter__(self) -> Slot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._held:
            self._held = False
            self._queue._leave(self._places, exception, monotonic() - self._admitted)


def _mean(values: deque[float]) -> float:
    return sum(values) / len(values) if values else 0.0
