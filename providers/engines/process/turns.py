"""Engines whose requests take turns: a step accepts those that are new, or does a part of one."""

from __future__ import annotations

import time
from abc import abstractmethod
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar

import attrs
import mlx.core as mx

from providers.engine_host.frames import EngineEvent
from providers.engines.process.base import (
    BaseEngine,
    J,
    as_service_error,
    failure_of,
    is_late,
    release_arrays,
    timed_out,
)
from providers.engines.process.engine import Outbox
from providers.engines.process.platform import Platform
from providers.errors import ServiceError

__all__ = ["TurnEngine", "Work"]


@attrs.define(eq=False, kw_only=True)
class Work(Generic[J]):
    """A job in progress."""

    job: J
    accepted: bool = False
    context: Context = attrs.field(factory=copy_context)
    """The request's context, for log lines."""


W = TypeVar("W", bound=Work[Any])


class TurnEngine(BaseEngine[J], Generic[J, W]):
    """An engine that does a part of one job per step. A fault in a turn fails its request and no other."""

    def __init__(self, prepared: Platform) -> None:
        super().__init__(prepared)
        self._works: dict[str, W] = {}
        """By request. If a fault in a step has no request, `recover` fails the last one."""

    @abstractmethod
    def _begin(self, job: J) -> W:
        """The work of a job that was submitted."""

    @abstractmethod
    def _accepted(self, job: J) -> EngineEvent:
        """What the client gets before the first part."""

    @abstractmethod
    def _next(self) -> W:
        """The work whose turn it is, of at least one."""

    @abstractmethod
    def _advance(self, work: W, out: Outbox) -> None:
        """Do the next part, and forget the work with the last one."""

    def _drop(self, work: W) -> None:
        """Free what a work holds that ends before its last part."""

    def _failure(self, work: W, error: BaseException) -> ServiceError:
        """What the client gets for an error in a turn."""
        return as_service_error(error, work.job.id)

    def submit(self, job: J) -> None:
        self._works[job.id] = self._begin(job)

    def cancel(self, request_id: str) -> None:
        work = self._works.pop(request_id, None)
        if work is not None:
            self._drop(work)

    @property
    def busy(self) -> bool:
        return bool(self._works)

    def step(self, out: Outbox) -> None:
        """Accept new requests. If there are none, do a part of one."""
        self._expire(out)
        new = [work for work in self._works.values() if not work.accepted]
        for work in new:
            work.accepted = True
            out.event(work.job.id, self._accepted(work.job))
        if self._works and not new:
            work = self._next()
            work.context.run(self._take_turn, work, out)

    def recover(self, out: Outbox, error: BaseException) -> None:
        """Fail the last request. A fault in the turn of a request does not get here: `_take_turn` ends that one."""
        if self._works:
            self._end(next(reversed(self._works)), failure_of(error), out)
        mx.clear_cache()

    def _expire(self, out: Outbox) -> None:
        now = time.monotonic()
        for id, work in list(self._works.items()):
            if is_late(work.job, now):
                self._end(id, timed_out(), out)

    def _end(self, id: str, error: ServiceError, out: Outbox) -> None:
        out.fail(id, error)
        self._drop(self._works.pop(id))

    def _take_turn(self, work: W, out: Outbox) -> None:
        try:
            self._advance(work, out)
        except BaseException as error:  # a panic in native code is not an Exception
            self._end(work.job.id, self._failure(work, error), out)
            release_arrays(error)
