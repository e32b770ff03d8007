"""What an engine is to the runtime: one Protocol for every model family, and the outbox for its events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

from providers.engine_host.frames import (
    Answer,
    Command,
    EngineInfo,
    Events,
    Failed,
    Memory,
    Question,
    Report,
)
from providers.errors import ServiceError
from providers.spec import ModelSpec

__all__ = ["Engine", "EngineLoadError", "Job", "Outbox", "Progress", "RunsInGroup", "TakesLong", "UsesIdleTime"]


class Progress(Protocol):
    """Called from the thread that loads."""

    def __call__(self, stage: str, fraction: float | None) -> None:
        """`stage` is text for people. `fraction` runs from 0 to 1; None where it is unknown."""


class EngineLoadError(Exception):
    """The model cannot be loaded. The message is for the person who starts the server."""


class TakesLong(Exception):
    """A request cannot be prepared quickly."""


class Job(Protocol):
    """A request that passed every check, with everything that the MLX thread needs of it."""

    @property
    def id(self) -> str: ...


class Outbox:
    """Collects the events of one step and sends them as one `Events` frame, failures after events."""

    def __init__(self, send: Callable[[Report], None]) -> None:
        self._send = send
        self._events: list[tuple[str, Any]] = []
        self._failures: list[Failed] = []

    def event(self, request_id: str, event: Any) -> None:
        self._events.append((request_id, event))

    def events(self, request_id: str, events: Iterable[Any]) -> None:
        self._events += [(request_id, event) for event in events]

    def fail(self, request_id: str, error: ServiceError) -> None:
        self._failures.append(Failed(id=request_id, **error.to_fields()))

    def flush(self) -> None:
        """Pass everything to the writer. Blocks while the server does not read."""
        if self._events:
            events, self._events = self._events, []
            self._send(Events(items=events))
        if self._failures:
            failures, self._failures = self._failures, []
            for failure in failures:
                self._send(failure)


class Engine(Protocol):
    """One loaded model of one family.

    `prepare` and `answer` run on the intake thread and touch no arrays, and `prepare` on other threads as well where it
    takes long. Everything else runs on the MLX thread.
    """

    @property
    def gathers(self) -> float:
        """Seconds to hold requests back for the next one, where starting them together is much cheaper.

        0 where it is not, or where no more requests could start.
        """
        ...

    def load(self, spec: ModelSpec, progress: Progress) -> EngineInfo:
        """Load and warm the model.

        Raises:
            EngineLoadError: it cannot be loaded; the message says what the user can do.
        """
        ...

    def prepare(self, command: Command, *, may_wait: bool = True) -> Job:
        """Check a request completely and do all its host-side work.

        Raises:
            ServiceError: the error for the client; nothing was queued.
            TakesLong: that would take seconds, and the caller may not wait.
        """
        ...

    def answer(self, question: Question) -> Answer:
        """Answer immediately, whatever the batch is doing.

        Raises:
            ServiceError: the error for the client.
        """
        ...

    def submit(self, job: Any) -> None:
        """Queue a prepared job; `step` starts it."""
        ...

    def cancel(self, request_id: str) -> None:
        """Drop a job in any stage. Unknown ids are ignored."""
        ...

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do."""
        ...

    def step(self, out: Outbox) -> None:
        """Do one bounded unit of work: one decode step, one chunk of a prompt.

        An error that belongs to one job is reported to `out` and does not leave this method.
        """
        ...

    def recover(self, out: Outbox, error: BaseException) -> None:
        """After `step` raised `error`: fail the job to blame and make the engine usable again.

        At least one job must fail, or the next steps do less: the same step would raise again. The other jobs go on
        where they stopped.
        """
        ...

    def memory(self) -> Memory: ...


@runtime_checkable
class UsesIdleTime(Protocol):
    """An engine that has work to do while there are no requests. Called on the MLX thread."""

    def use_idle_time(self) -> bool:
        """Do a bounded part of the work. Returns False when nothing is left.

        Also called as the engine ends, as long as time is left.
        """
        ...


@runtime_checkable
class RunsInGroup(Protocol):
    """An engine whose model may run on several ranks. Its jobs can be `packed`."""

    def unpacked(self, packed: dict[str, Any]) -> Job:
        """The job of a rank other than 0, from what rank 0's job `packed`."""
        ...
