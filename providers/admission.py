"""Admission: how many answers a model gives together, and how many requests may wait for it."""

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
"""Number of recent requests in the mean and maximum times."""


class AdmissionQueue:
    """At most `max_concurrency` places taken, at most `queue_size` requests waiting, first come first served.

    A request takes all its places together or waits. No later request overtakes it, even if there is room for a smaller
    one, so that requests for one place do not starve a request for many. Every request is counted once: as completed,
    failed or cancelled (by how its `Slot` block or its wait ended), or as rejected (the queue was full, the wait too
    long, the model not ready).
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
        """Number of requests that hold their places."""
        return self._active

    @property
    def taken(self) -> int:
        """Number of places taken: answers in the engine."""
        return self._taken

    @property
    def pending(self) -> int:
        # A cancelled waiter stays in the deque until its task runs again. The copy: metrics are read from any thread.
        return sum(not waiter.admitted.done() for waiter in tuple(self._waiting))

    @property
    def full(self) -> bool:
        """Whether a request for one place would be refused now."""
        busy = self._taken >= self._max_concurrency or self.pending > 0
        return not self._draining and busy and self.pending >= self._queue_size

    @property
    def outcomes(self) -> dict[str, int]:
        """Number of finished requests per outcome."""
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

    def resize(self, *, max_concurrency: int, queue_size: int, queue_timeout: float) -> None:
        """Have other bounds from now on. Places over the new bound stay taken until their requests end."""
        self._max_concurrency = max_concurrency
        self._queue_size, self._queue_timeout = queue_size, queue_timeout
        self._hand_out()

    async def admit(self, places: int = 1) -> Slot:
        """Wait for this number of places and return them as one `Slot`; enter it immediately, as `with slot:`.

        Raises:
            ValueError: the queue never has this number of places.
            QueueFull: `queue_size` requests already wait.
            QueueTimeout: the places did not become free within `queue_timeout`.
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

    def refuse_full(self) -> NoReturn:
        """Refuse a request because the queue is `full`."""
        self.refuse(
            QueueFull(
                f"{self._active} requests are being answered and {self.pending} wait, as many as may",
                retry_after=self._retry_after(),
            )
        )

    def begin_drain(self) -> None:
        """Admit no more requests. Waiting ones fail with `ModelNotReady`, admitted ones continue. Idempotent."""
        self._draining = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.admitted.done():
                waiter.admitted.set_exception(ModelNotReady.shutting_down())

    async def _wait(self, places: int) -> None:
        if len(self._waiting) >= self._queue_size and self.pending >= self._queue_size:
            self.refuse_full()
        loop = asyncio.get_running_loop()
        waiter = _Waiter(places, loop.create_future())
        self._waiting.append(waiter)
        timer = loop.call_later(self._queue_timeout, self._expire, waiter)
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            self._cancelled += 1
            # The places may have been given in the step of the loop that cancelled the task: pass them on.
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
        """Admit waiting requests, the longest wait first, while there are places for the first one."""
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
        """Mean seconds of a recent answer, after which the queue has moved on; from 1 to 60."""
        return min(60.0, max(1.0, _mean(self._services)))


class _Waiter(NamedTuple):
    places: int
    admitted: asyncio.Future[None]


class Slot:
    """A request's places, as a context manager that returns them. How the block ends decides how the request counts."""

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
