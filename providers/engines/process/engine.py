"""What an engine is to the runtime: one Protocol for every model family, and the outbox it answers through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from providers.engine_host.frames import (
    Command,
    Detokenize,
    Detokenized,
    EngineInfo,
    Events,
    Failed,
    Memory,
    Report,
    Tokenize,
    Tokenized,
)
from providers.errors import ServiceError
from providers.spec import ModelSpec

__all__ = ["Engine", "EngineLoadError", "Job", "Outbox", "Progress", "UsesIdleTime"]


class Progress(Protocol):
    """Called from the thread that loads."""

    def __call__(self, stage: str, fraction: float | None) -> None:
        """`stage` is words for a person; `fraction` runs from 0 to 1, None where it is unknown."""


class EngineLoadError(Exception):
    """The model cannot be loaded; the message is for the person who started the server."""


class Job(Protocol):
    """A request that passed every check and holds everything the MLX thread needs of it."""

    @property
    def id(self) -> str: ...


class Outbox:
    """Collects what one step gave and sends it as one `Events` frame, failures after events."""

    def __init__(self, send: Callable[[Report], None]) -> None:
        self._send = send
        self._events: list[tuple[str, Any]] = []
        self._failures: list[Failed] = []

    def event(self, request_id: str, event: Any) -> None:
        self._events.append((request_id, event))

    def fail(self, request_id: str, error: ServiceError) -> None:
        self._failures.append(Failed(id=request_id, **error.to_fields()))

    def flush(self) -> None:
        """Hand everything to the writer. Blocks while the server does not read."""
        if self._events:
            events, self._events = self._events, []
            self._send(Events(items=events))
        if self._failures:
            failures, self._failures = self._failures, []
            for failure in failures:
                self._send(failure)


class Engine(Protocol):
    """One loaded model of one family.

    `prepare` and `answer` run on the intake thread and touch no arrays; everything else runs on the MLX thread.
    """

    @property
    def gathers(self) -> float:
        """Seconds that requests are held back for the next to come, where it is so much cheaper to start together; 0
        where it is not, or where no more could start."""
        ...

    def load(self, spec: ModelSpec, progress: Progress) -> EngineInfo:
        """Load and warm the model.

        Raises:
            EngineLoadError: it cannot be loaded, said so that the user can act on it.
        """
        ...

    def prepare(self, command: Command) -> Job:
        """Check a request wholly and do all its host-side work.

        Raises:
            ServiceError: what the client is told; nothing was queued.
        """
        ...

    def answer(self, question: Tokenize | Detokenize) -> Tokenized | Detokenized:
        """Answer at once, whatever the batch is doing.

        Raises:
            ServiceError: what the client is told.
        """
        ...

    def submit(self, job: Any) -> None:
        """Queue a prepared job; `step` starts it."""
        ...

    def cancel(self, request_id: str) -> None:
        """Drop a job in whatever stage it is. Unknown ids are ignored."""
        ...

    @property
    def busy(self) -> bool:
        """Whether `step` has anything to do."""
        ...

    def step(self, out: Outbox) -> None:
        """Do one bounded unit of work: one decode step, one chunk of a prompt.

        An error that belongs to one job is told to `out` and does not leave this method.
        """
        ...

    def recover(self, out: Outbox) -> None:
        """After `step` raised: fail what was in the batch and make the engine usable again."""
        ...

    def memory(self) -> Memory: ...


@runtime_checkable
class UsesIdleTime(Protocol):
    """An engine that has work to do when nobody asks for anything. On the MLX thread."""

    def use_idle_time(self) -> bool:
        """Do a bounded part of it; False when nothing is left. Also called as the engine ends, until there is no time
        left."""
        ...
