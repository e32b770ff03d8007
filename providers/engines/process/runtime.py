"""The engine process: three threads around one `Engine`.

    main thread    reads commands, prepares requests, answers questions    (intake)
    aside threads  prepare the requests for which that takes long
    mlx thread     loads, submits, cancels, steps; the only one that touches arrays
    writer thread  encodes and sends; its queue is bounded, so that a stalled server stops the MLX thread

When the socket closes, the process ends, in whatever state its threads are.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import otel
from providers.engine_host.frames import (
    STACK_SIGNAL,
    Cancel,
    Command,
    Events,
    Failed,
    Generate,
    Load,
    LoadFailed,
    Loading,
    Memory,
    Question,
    Ready,
    Report,
    encode,
)
from providers.engines.group.ranks import ALONE, Ranks
from providers.engines.process.aside import Aside
from providers.engines.process.commands import Commands
from providers.engines.process.engine import Engine, EngineLoadError, Job, Outbox, TakesLong, UsesIdleTime
from providers.engines.process.pulse import BEAT_SECONDS, Pulse
from providers.engines.process.shortage import is_shortage
from providers.errors import InternalError, ModelNotReady, ServiceError
from providers.spec import ModelSpec

__all__ = ["Runtime", "serve"]

logger = logging.getLogger(__name__)

WRITER_FRAMES = 256
"""Frames that may wait for the server before the MLX thread waits too."""
GATHER_SECONDS = 0.25
"""The longest time that a request which reaches an idle engine is held back for others."""
IDLE_SECONDS = 1.0
"""Seconds without a command after which an engine may use the idle time."""
LAST_SECONDS = 0.5
"""An engine that has prompts to write when the socket closes ends this long before its host stops waiting."""
MEMORY_INTERVAL = 1.0
"""Seconds between two `Memory` reports while working."""


def serve(connection: socket.socket, make_engine: Callable[[ModelSpec], Engine], ranks: Ranks = ALONE) -> NoReturn:
    """Run an engine over this socket until it closes, then end the process. `ranks`: those that share its model."""
    faulthandler.enable()
    faulthandler.register(STACK_SIGNAL)
    try:
        runtime = Runtime(connection, make_engine, ranks)
        try:
            runtime.run()
        except (OSError, EOFError):
            runtime.finish()
    except BaseException:
        logger.exception("the engine's intake failed")
        _exit(1)
    _exit(0)


def _exit(status: int) -> NoReturn:
    # Other threads may stay inside native code for a long time: an orderly shutdown would wait for them.
    logging.shutdown()
    os._exit(status)


def _client_id(request_id: str) -> str | None:
    """The client's own request ID, without the number that the host adds. Questions of the host have none."""
    return request_id.rpartition("#")[0] or None


class Runtime:
    """Owns the socket and the threads. `run` returns when the server has closed the socket."""

    def __init__(
        self, connection: socket.socket, make_engine: Callable[[ModelSpec], Engine], ranks: Ranks = ALONE
    ) -> None:
        self._connection = connection
        self._make_engine = make_engine
        self._ranks = ranks
        self._outgoing: queue.Queue[Report | None] = queue.Queue(maxsize=WRITER_FRAMES)
        self._inbox: queue.SimpleQueue[tuple[Job | Cancel, str | None]] = queue.SimpleQueue()
        """What to do, and the `traceparent` to do it under."""
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._finished = threading.Event()
        self._writes_files = False
        self._last_seconds = 0.0
        self._overlapped = False
        """Whether requests overlapped since the engine was last idle. A single client's request waits for no other."""
        self._pulse = Pulse()
        self._commands = Commands(connection, self._pulse, self._send)
        self._aside = Aside()
        self._beat_at = 0.0
        """When to send the next beat, on `time.monotonic`'s clock."""
        self._writer = threading.Thread(target=self._write, name="writer", daemon=True)

    def run(self) -> None:
        """Intake: read commands until the socket closes."""
        load = self._commands.read()
        if not isinstance(load, Load):
            raise EOFError("the first command must be Load")
        self._writer.start()
        self._ranks.load(load.spec)
        try:
            engine = self._make_engine(load.spec)
        except EngineLoadError as error:
            self._give_up(load.spec, error)
        self._writes_files = load.spec.prefix_cache_dir is not None
        self._last_seconds = load.spec.ending_seconds - LAST_SECONDS
        threading.Thread(target=self._work, args=(engine, load.spec), name="mlx", daemon=True).start()
        while True:
            self._pulse.preparing = False
            command = self._commands.read()
            if command is not None:
                self._take(engine, command)

    def finish(self) -> None:
        """After the socket has closed: let the engine write what it would have written when idle."""
        if self._writes_files and self._ready.is_set():
            self._closing.set()
            self._inbox.put((Cancel(id=""), None))
            self._finished.wait(self._last_seconds)

    # ── intake ──────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, engine: Engine, command: Command) -> None:
        if isinstance(command, Cancel):
            if not self._aside.drop(command.id):
                self._inbox.put((command, None))
            return
        if isinstance(command, Load):
            logger.error("Load was sent twice; the second is ignored")
            return
        trace = command.trace if isinstance(command, Generate) else None
        request_id = command.request.id if isinstance(command, Generate) else command.id
        with otel.serving(_client_id(request_id), trace):
            self._admit(engine, command, request_id, trace)

    def _admit(self, engine: Engine, command: Generate | Question, request_id: str, trace: str | None) -> None:
        with self._failing(request_id):
            if not self._ready.is_set():
                raise ModelNotReady("the model is still loading", retry_after=1.0)
            if not isinstance(command, Generate):
                self._send(engine.answer(command))
                return
            try:
                self._inbox.put((engine.prepare(command, may_wait=False), trace))
            except TakesLong:
                self._aside.put(request_id, lambda: self._prepare_aside(engine, command, request_id, trace))

    def _prepare_aside(self, engine: Engine, command: Generate, request_id: str, trace: str | None) -> None:
        with otel.serving(_client_id(request_id), trace), self._failing(request_id):
            job = engine.prepare(command)
            self._aside.end(request_id, lambda: self._inbox.put((job, trace)))

    @contextlib.contextmanager
    def _failing(self, request_id: str) -> Iterator[None]:
        """Fail the request with the error that is raised inside."""
        try:
            yield
        except ServiceError as error:
            self._send(Failed(id=request_id, **error.to_fields()))
        except BaseException:  # neither a panic in native code (tokenizers, llguidance) nor sys.exit is an Exception
            logger.exception("request %s failed before it was queued", request_id)
            self._send(Failed(id=request_id, **InternalError.unforeseen().to_fields()))

    def _report_loading(self, stage: str, fraction: float | None) -> None:
        self._pulse.steps += 1
        self._send(Loading(stage=stage, fraction=fraction))

    # ── writer ──────────────────────────────────────────────────────────────────────────────────────────────

    def _send(self, report: Report) -> None:
        self._outgoing.put(report)

    def _write(self) -> None:
        try:
            while (report := self._next_report()) is not None:
                self._connection.sendall(self._framed(report))
        except OSError:
            if not self._writes_files:
                _exit(0)
            # The intake sees the error too, and ends the process in an orderly way.
            while self._outgoing.get() is not None:
                pass
        except BaseException:
            logger.exception("the writer failed")
            _exit(1)

    def _next_report(self) -> Report | None:
        """The next report for the server; once per second a `Beat`, whether or not others wait."""
        left = self._beat_at - time.monotonic()
        if left > 0:
            with contextlib.suppress(queue.Empty):
                return self._outgoing.get(timeout=left)
        self._beat_at = time.monotonic() + BEAT_SECONDS
        return self._pulse.beat()

    def _framed(self, report: Report) -> bytes:
        """The report's frame. A report that fits no frame fails the requests it is for, and no other."""
        try:
            return encode(report)
        except (ValueError, OverflowError, RecursionError, TypeError):
            logger.exception("a report cannot be framed")
        ids = [id for id, _ in report.items] if isinstance(report, Events) else [getattr(report, "id", "")]
        failures = []
        for id in dict.fromkeys(filter(None, ids)):
            self._inbox.put((Cancel(id=id), None))
            failures.append(encode(Failed(id=id, **InternalError.unforeseen().to_fields())))
        return b"".join(failures)

    # ── MLX thread ──────────────────────────────────────────────────────────────────────────────────────────

    def _work(self, engine: Engine, spec: ModelSpec) -> None:
        try:
            self._load(engine, spec)
            self._loop(engine)
        except BaseException:
            logger.exception("the engine's MLX thread ended")
            _exit(1)

    def _load(self, engine: Engine, spec: ModelSpec) -> None:
        try:
            info = engine.load(spec, self._report_loading)
        except BaseException as error:  # a tokenizer's file may make native code panic
            self._give_up(spec, error)
        # The loaded objects stay: a collection need not walk through them (130 ms each, in the middle of an answer).
        gc.freeze()
        self._ready.set()
        self._pulse.activity = "idle"
        self._send(Ready(info=info))

    def _give_up(self, spec: ModelSpec, error: BaseException) -> NoReturn:
        """Report why the model cannot be loaded, and end the process."""
        known = isinstance(error, EngineLoadError)
        logger.error("%s cannot be loaded: %s", spec.name, error, exc_info=None if known else error)
        message = str(error) if known else f"{type(error).__name__}: {error}"
        self._send(LoadFailed(message, permanent=not is_shortage(error)))
        self._outgoing.put(None)
        self._writer.join()
        _exit(1)

    def _loop(self, engine: Engine) -> None:
        out = Outbox(self._send)
        reported = time.monotonic()
        last: Memory | None = None
        while True:
            if not engine.busy:
                memory = engine.memory()
                if memory != last:
                    self._send(memory)
                    last, reported = memory, time.monotonic()
                self._pulse.activity = "idle"
                item = self._wait(engine)
                self._pulse.activity = "working"
                self._deliver(engine, out, *item)
                if engine.gathers and self._overlapped:
                    self._gather(engine, out)
            self._drain(engine, out)
            if self._closing.is_set():
                self._finish(engine)
                return
            if engine.busy:
                self._step(engine, out)
            self._pulse.steps += 1
            out.flush()
            if time.monotonic() - reported >= MEMORY_INTERVAL:
                last, reported = engine.memory(), time.monotonic()
                self._send(last)

    def _wait(self, engine: Engine) -> tuple[Any, str | None]:
        """The next job or cancellation. The engine may use the time until it comes."""
        if isinstance(engine, UsesIdleTime):
            patience = IDLE_SECONDS
            while True:
                with contextlib.suppress(queue.Empty):
                    return self._inbox.get(timeout=patience)
                patience = 0.0
                if not self._use_idle_time(engine):
                    self._send(engine.memory())
                    break
        return self._inbox.get()

    def _finish(self, engine: Engine) -> None:
        deadline = time.monotonic() + self._last_seconds
        while isinstance(engine, UsesIdleTime) and time.monotonic() < deadline:
            if not self._use_idle_time(engine):
                break
        self._finished.set()

    def _use_idle_time(self, engine: UsesIdleTime) -> bool:
        self._pulse.activity = "tidying"
        self._ranks.tidy()
        try:
            return engine.use_idle_time()
        except BaseException as error:
            self._ranks.check(error)
            logger.exception("the engine's idle work failed")
            return False
        finally:
            self._pulse.steps += 1
            self._pulse.activity = "idle"

    def _gather(self, engine: Engine, out: Outbox) -> None:
        """Take the requests that come together with the first: prompts take longer one by one than in one batch."""
        self._overlapped = False
        deadline = time.monotonic() + GATHER_SECONDS
        while (gap := engine.gathers) and (left := deadline - time.monotonic()) > 0:
            try:
                self._deliver(engine, out, *self._inbox.get(timeout=min(gap, left)))
                self._overlapped = True
            except queue.Empty:
                if not (self._pulse.preparing or self._aside.busy):
                    return

    def _drain(self, engine: Engine, out: Outbox) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._deliver(engine, out, *self._inbox.get_nowait())
                self._overlapped = True

    def _deliver(self, engine: Engine, out: Outbox, item: Any, trace: str | None) -> None:
        request_id = item.id
        with otel.serving(_client_id(request_id), trace):
            try:
                if isinstance(item, Cancel):
                    self._ranks.cancel(request_id)
                    engine.cancel(request_id)
                else:
                    self._ranks.submit(item)
                    engine.submit(item)
            except ServiceError as error:
                out.fail(request_id, error)
            except BaseException:
                logger.exception("request %s failed", request_id)
                out.fail(request_id, InternalError.unforeseen())

    def _step(self, engine: Engine, out: Outbox) -> None:
        self._ranks.step()
        try:
            engine.step(out)
        except BaseException as error:
            self._ranks.check(error)
            logger.exception("a step failed")
            # The traceback's frames hold arrays, and memory may be what is missing.
            engine.recover(out, error.with_traceback(None))
