"""The engine's host: keeps one engine process alive and delivers every event to its request's mailbox."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any, TypeVar, assert_never

import attrs
import msgspec

import otel
from providers.engine_host.event_stream import Mailbox
from providers.engine_host.exchanges import Exchanges
from providers.engine_host.frames import (
    Answer,
    Beat,
    Cancel,
    Command,
    Detokenized,
    EngineInfo,
    EngineRequest,
    Events,
    Failed,
    Generate,
    Load,
    LoadFailed,
    Loading,
    Located,
    Memory,
    Question,
    Ready,
    Report,
    Tokenized,
)
from providers.engine_host.process import EngineProcess, Start, ending_of, starting
from providers.engine_host.restart import RestartPolicy, Starts
from providers.engine_host.watchdog import Watchdog, end_of
from providers.errors import EngineCrashed, InvalidRequest, ModelNotReady, QueueFull
from providers.protocols import ModelStatus
from providers.spec import ModelSpec

__all__ = ["ENGINE_COMMAND", "EngineHost"]

ENGINE_COMMAND: tuple[str, ...] = (sys.executable, "-P", "-m", "providers.engines")
"""The socket's number is added as last argument. -P: modules in the current folder do not replace the engine's."""
_LOADING_RETRY_SECONDS = 2.0

M = TypeVar("M", bound=Mailbox[Any])

_log = otel.get_logger(__name__)


class EngineHost:
    """One model's engine process, from start to stop, restarted when it dies.

    Use it from one event loop. `status`: `unloaded` until `start` and from `unload` to the next `start`; `loading`
    until the first `Ready` after a start, then `ready`; `restarting` from an engine's death to the next `Ready`;
    `failed` when the host gives up, which it never does after the first `Ready`; `stopped` after `stop`, for good.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        command: Sequence[str] = ENGINE_COMMAND,
        restart: RestartPolicy | None = None,
        grace: float | None = None,
        replica: int | None = None,
        watchdog: Callable[[float], Watchdog] = Watchdog,
        start: Start | None = None,
    ) -> None:
        """`grace`: seconds for an engine to end after its socket closed, and again after SIGTERM; None: the spec's.

        `replica`: its number, where the model has several engines. `watchdog` makes the watchdog of each engine from
        the spec's `watchdog_timeout`; `start` starts its process; None: as the spec needs.
        """
        self._spec = spec
        self._name = spec.name if replica is None else f"replica {replica} of {spec.name}"
        self._labels: dict[str, Any] = {"model": spec.name, **({} if replica is None else {"replica": replica})}
        self.on_change: Callable[[], None] = lambda: None
        """Called when `status` becomes another one than `loading`."""
        self.loading_together: Callable[[], int | None] = lambda: None
        """As in `ModelSpec`, now."""
        self.ranks = spec.ranks
        self._start_process = starting(spec, command, start)
        self._restart = restart or RestartPolicy()
        self._grace = spec.ending_seconds if grace is None else grace
        self._open = Exchanges(spec.name)
        self._engine: EngineProcess | None = None
        self._supervisor: asyncio.Task[None] | None = None
        """The task that runs the engines since the latest start."""
        self._ending = asyncio.Event()
        """Set when that task has to end its engine."""
        self._stopped = False
        self._new_watchdog = partial(watchdog, spec.watchdog_timeout)
        self._watchdog = self._new_watchdog()
        self._settled = asyncio.Event()
        """Set while `status` is one that waiting does not change."""
        self._retry_at = 0.0
        self._ready_at: float | None = None
        self._load_failure: str | None = None
        """Why the latest engine could not load."""
        self._ever_ready = False
        """Whether an engine was ready since the latest start."""
        self.status: ModelStatus = "unloaded"
        self.detail: str | None = None
        self.fraction: float | None = None
        """The part of the load's current stage that is done, where the engine reports it."""
        self.starts = 0
        """Engine processes started."""
        self.info: EngineInfo | None = None
        """The description of the engine that was ready last."""
        self.memory: Memory | None = None
        """The running engine's latest report."""
        self.restarts = 0
        """Deaths after which another engine was started."""
        self.last_death: str | None = None
        """The reason for the last of them."""

    @property
    def engines(self) -> tuple[EngineHost, ...]:
        """Itself: `Replicas` have several."""
        return (self,)

    @property
    def pid(self) -> int | None:
        """Process ID of the engine that runs now."""
        return None if self._engine is None else self._engine.pid

    def start(self) -> None:
        """Begin to load. Does nothing while an engine runs or loads, after a failure, and after `stop`.

        An engine that still ends has its memory; the next one starts when its process is gone.
        """
        if self._stopped or (self._supervisor is not None and not self._ending.is_set()):
            return
        self.status, self.detail, self.fraction = "loading", None, None
        self._ever_ready = False
        self._settled.clear()
        self._ending = asyncio.Event()
        self._supervisor = asyncio.create_task(
            self._supervise(self._ending, self._supervisor), name=f"engine {self._spec.name}"
        )

    async def start_again(self) -> None:
        """Load again after a failure, whose cause (no network, a full disk) may be over."""
        if self._supervisor is not None and self.status == "failed":
            await asyncio.wait({self._supervisor})
            if self.status == "failed":
                self._supervisor = None
                self.start()

    async def unload(self) -> None:
        """End the engine and return when its memory is free. `start` loads it again. Idempotent; not after `stop`.

        What is in the engine fails with `ModelNotReady`; the caller waits for it first.
        """
        if self._stopped or self._supervisor is None:
            return
        supervisor = self._supervisor
        if not self._ending.is_set():
            self._end("unloaded")
        await asyncio.shield(supervisor)

    async def wait_ready(self) -> None:
        """Return when the engine, once started, is ready.

        Raises:
            ModelNotReady: it will not become ready.
        """
        while self.status in ("loading", "restarting"):
            await self._settled.wait()
        if (refusal := self.refusal()) is not None:
            raise refusal

    async def stop(self) -> None:
        """End the engine, whatever it is doing. Its requests fail with `ModelNotReady`. Idempotent."""
        self.begin_stop()
        if self._supervisor is not None:
            await asyncio.shield(self._supervisor)

    def begin_stop(self) -> None:
        """As `stop`, without waiting for the end of the process."""
        self._stopped = True
        self._end("stopped")

    def _end(self, status: ModelStatus) -> None:
        self._ending.set()
        self._settle(status, None)
        self._open.fail_all(self._not_ready())

    def refusal(self) -> ModelNotReady | None:
        """Why no request can be accepted now, or None."""
        return None if self.status == "ready" else self._not_ready()

    def open(self, request: EngineRequest, mailbox: Callable[[Callable[[bool], None]], M]) -> M:
        """Send a request to the engine. `mailbox` makes the mailbox that gets its events, which is returned.

        Close the mailbox when done: an unfinished request is then removed from the batch. Commands keep their order, so
        that a request sent after a close never finds the closed one's slot still occupied.

        Raises:
            ModelNotReady: the engine is not ready, or stopped reading long ago.
            InvalidRequest: the request cannot be sent (text that is not Unicode, integers over 64 bits).
        """
        key = self._open.request_key(request.id)
        self._send(Generate(msgspec.structs.replace(request, id=key), otel.trace_parent()))
        opened = self._open.mailboxes[key] = mailbox(lambda unfinished: self._close(key, unfinished))
        return opened

    async def ask(self, question: Question) -> Answer:
        """Ask the engine a question that needs no slot in the batch. One of the host's ids replaces its `id`.

        Raises:
            ModelNotReady: the engine is not ready, stops, or stopped reading long ago.
            EngineCrashed: it died before it answered.
            QueueFull: as many questions wait as requests may.
            QueueTimeout: the intake did not come to it within `spec.queue_timeout`, at most a minute.
            InvalidRequest: the engine refuses the question, or it cannot be sent.
        """
        most = self._spec.max_concurrency + self._spec.queue_size
        if len(self._open.questions) >= most:
            raise QueueFull(f"{most} questions wait for {self._spec.name}", retry_after=1.0)
        key = self._open.question_key()
        self._send(msgspec.structs.replace(question, id=key))
        return await self._open.answered(key, self._spec.queue_timeout)

    def _send(self, command: Command) -> None:
        """Send to the engine. Raises the errors of `open`."""
        if (refusal := self.refusal()) is not None:
            raise refusal
        assert self._engine is not None
        try:
            sent = self._engine.send(command)
        except (ValueError, OverflowError, TypeError) as error:
            raise InvalidRequest(f"the request cannot be sent to the engine: {error}") from error
        if not sent:
            raise ModelNotReady(f"the engine of {self._name} does not answer", retry_after=_LOADING_RETRY_SECONDS)

    def _close(self, key: str, unfinished: bool) -> None:
        if self._open.mailboxes.pop(key, None) is not None and unfinished and self._engine is not None:
            self._engine.send(Cancel(key))

    async def _supervise(self, ending: asyncio.Event, before: asyncio.Task[None] | None) -> None:
        """Run engines one after the other until `ending` is set, or until the restart policy gives up.

        `before`: the task of the previous start, whose engine may still be ending.
        """
        starts = Starts(self._restart)
        try:
            if before is not None:
                await asyncio.wait({before})
            while not ending.is_set():
                self._ready_at = self._load_failure = None
                reason = await self._run_engine(ending)
                if ending.is_set():
                    return
                delay = starts.died(None if self._ready_at is None else monotonic() - self._ready_at)
                if self.status != "failed" and delay is None:
                    self._settle("failed", f"the engine died {starts.deaths} times before it was ready: {reason}")
                if delay is None or self.status == "failed":
                    _log.error("model cannot be loaded", **self._labels, reason=self.detail)
                    return
                await self._pause(ending, delay, reason)
        except Exception as error:
            if not ending.is_set():
                self._settle("failed", f"the engine's host failed: {error}")
            _log.exception("engine host failed", **self._labels)
        finally:
            if not ending.is_set():  # otherwise `_end` did, and the requests are those of the next engine
                self._open.fail_all(self._not_ready())

    async def _pause(self, ending: asyncio.Event, delay: float, reason: str) -> None:
        self.restarts += 1
        self.last_death = reason
        self._retry_at = monotonic() + delay
        self.detail = f"{reason}; the next start is {delay:g} s after that"
        _log.warning("engine restarts", **self._labels, reason=reason, delay=delay)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), delay)

    async def _run_engine(self, ending: asyncio.Event) -> str:
        """Run one engine to its end, fail its requests and end its process. Returns the reason."""
        try:
            engine = await self._start_process(partial(self._receive, ending))
        except OSError as error:
            return f"the engine's process cannot be started: {error}"
        self._engine = engine
        self.starts += 1
        self._watchdog = self._new_watchdog()
        try:
            _log.info("engine starts", **self._labels, pid=engine.pid)
            engine.send(Load(attrs.evolve(self._spec, loading_together=self.loading_together())))
            hung, reason = await end_of(engine.wait_lost(), ending, self._watchdog.wait_hung())
            if self.status != "failed" and not ending.is_set():
                self._mark_dead(reason)
            if hung:
                _log.error("engine hangs and is killed", **self._labels, pid=engine.pid, reason=reason)
                await engine.kill_hung()
            await engine.end(self._grace, loading=ending.is_set() and self._ready_at is None)
            if self._load_failure is not None:
                return f"the model cannot be loaded: {self._load_failure}"
            return f"the engine died: {reason}; {ending_of(engine.returncode)}"
        finally:
            engine.kill()
            self._engine = self.memory = None

    def _mark_dead(self, reason: str) -> None:
        """Fail the requests in flight immediately: the process may take a while to end."""
        self._settled.clear()
        self.status, self.detail = "restarting", f"the engine died: {reason}"
        self.on_change()
        message = f"the engine of {self._name} died during the request"
        self._open.fail_all(EngineCrashed(message, retry_after=self.retry_seconds()))

    def _receive(self, ending: asyncio.Event, report: Report) -> None:
        if ending.is_set():  # the state is that of the next engine
            return
        match report:
            case Events():
                self._open.deliver(report)
            case Failed():
                self._open.fail(report)
            case Tokenized() | Detokenized() | Located():
                self._open.answer(report)
            case Memory():
                self.memory = report
            case Beat():
                self._watchdog.beat(report)
            case Loading():
                if self.status in ("loading", "restarting"):
                    done = "" if report.fraction is None else f" ({report.fraction:.0%})"
                    self.detail, self.fraction = report.stage + done, report.fraction
            case Ready():
                self._become_ready(report.info)
            case LoadFailed():
                self._load_failure = report.message
                # A model that was ready once may become so again: its weights may come back.
                if report.permanent and not self._ever_ready and self.status in ("loading", "restarting"):
                    self._settle("failed", report.message)
            case _:
                assert_never(report)

    def _become_ready(self, info: EngineInfo) -> None:
        if self.status in ("loading", "restarting"):
            self.info = info
            self._watchdog.loaded()
            self._ever_ready = True
            self._ready_at = monotonic()
            self._settle("ready", None)
            # Of a list (voices, languages) the log gets only the length.
            brief = {name: len(each) if isinstance(each, list) else each for name, each in info.details.items()}
            fields = msgspec.structs.asdict(info) | {"details": brief}
            _log.info("engine ready", **self._labels, pid=self.pid, **fields)

    def _settle(self, status: ModelStatus, detail: str | None) -> None:
        self.status, self.detail, self.fraction = status, detail, None
        self._settled.set()
        self.on_change()

    def retry_seconds(self) -> float:
        """Seconds until the engine may be ready again, estimated from its last start."""
        load = _LOADING_RETRY_SECONDS if self.info is None else self.info.load_seconds
        return max(1.0, self._retry_at - monotonic() + load)

    def _not_ready(self) -> ModelNotReady:
        name = self._spec.name
        match self.status:
            case "failed":
                return ModelNotReady(f"{name} cannot be loaded: {self.detail}")
            case "stopped":
                return ModelNotReady.shutting_down()
            case status:
                doing = "" if self.detail is None else f": {self.detail}"
                return ModelNotReady(f"{name} is {status}{doing}", retry_after=self.retry_seconds())
