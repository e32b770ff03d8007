"""Engines without processes, and the hosts that run them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import attrs

from providers.chat.types import GenerationEvent, GenerationRequest, TextPrompt
from providers.engine_host import frames
from providers.engine_host.event_stream import TextMailbox
from providers.engine_host.frames import Command, EngineInfo, Events, Ready, Report
from providers.engine_host.host import EngineHost
from providers.engine_host.restart import RestartPolicy
from providers.spec import ModelSpec
from tests.unit.providers.engine_host.clock import quiet

__all__ = ["INFO", "POLICY", "Engine", "Engines", "Hang", "ask", "opened"]

INFO = EngineInfo(4096, "cpu", "float32", "-", 7.0, {"voices": ["a", "b", "c"], "layers": 2})
POLICY = RestartPolicy(first_delay=10.0, max_delay=1000.0, stable=300.0, attempts=3)


@attrs.define(eq=False)
class Engine:
    """An engine in memory. It reports, dies and ends when the test wants it to."""

    pid: int
    command: Sequence[str]
    report: Callable[[Report], None]
    """Delivers a report to the host."""
    returncode: int | None = None
    exit_status: int | None = 0
    """Its `returncode` after `end`."""
    accepts: bool = True
    """Whether it reads its commands."""
    sent: list[Command] = attrs.field(factory=list)
    calls: list[object] = attrs.field(factory=list)
    """How the host ended it, in order."""
    fault: Exception | None = None
    """What the host's wait for its loss raises instead of returning."""
    may_end: asyncio.Event = attrs.field(factory=asyncio.Event)
    _lost: asyncio.Event = attrs.field(factory=asyncio.Event)
    _reason: str = ""

    def ready(self, info: EngineInfo = INFO) -> None:
        self.report(Ready(info))

    def events(self, *items: tuple[str, GenerationEvent]) -> None:
        self.report(Events([*items]))

    def die(self, reason: str = "its socket ended", status: int | None = 0) -> None:
        self._reason, self.exit_status = reason, status
        self._lost.set()

    def send(self, message: Command) -> bool:
        frames.encode(message)
        if self.accepts:
            self.sent.append(message)
        return self.accepts

    async def wait_lost(self) -> str:
        await self._lost.wait()
        if self.fault is not None:
            raise self.fault
        return self._reason

    async def end(self, grace: float, *, loading: bool = False) -> None:
        self.calls.append(("end", grace, loading))
        await self.may_end.wait()
        self.returncode = self.exit_status

    async def kill_hung(self) -> None:
        self.calls.append("kill hung")
        self.exit_status = -9

    def kill(self) -> None:
        self.calls.append("kill")


@attrs.define
class Hang:
    """A watchdog that the test sets off."""

    timeout: float
    beats: list[object] = attrs.field(factory=list)
    _hung: asyncio.Event = attrs.field(factory=asyncio.Event)
    _reason: str = ""

    def bite(self, reason: str) -> None:
        self._reason = reason
        self._hung.set()

    def beat(self, beat: frames.Beat) -> None:
        self.beats.append(beat)

    def loaded(self) -> None:
        self.beats.append("loaded")

    async def wait_hung(self) -> str:
        await self._hung.wait()
        return self._reason


@attrs.define
class Engines:
    """Starts engines in memory, in order."""

    started: list[Engine] = attrs.field(factory=list)
    watchdogs: list[Hang] = attrs.field(factory=list)
    failures: list[BaseException] = attrs.field(factory=list)
    """What the next starts raise instead."""
    linger: bool = False
    """Whether an engine's process ends only when the test sets `may_end`."""

    def __getitem__(self, number: int) -> Engine:
        return self.started[number]

    def __len__(self) -> int:
        return len(self.started)

    async def start(self, command: Sequence[str], on_report: Callable[[Report], None]) -> Engine:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        engine = Engine(100 + len(self.started), command, on_report)
        if not self.linger:
            engine.may_end.set()
        self.started.append(engine)
        return engine

    def watchdog(self, timeout: float) -> Hang:
        self.watchdogs.append(Hang(timeout))
        return self.watchdogs[-1]

    def host(self, *, restart: RestartPolicy = POLICY, grace: float | None = None, **spec: object) -> EngineHost:
        model = ModelSpec(**({"name": "fake", "path": "weights"} | spec))
        return EngineHost(
            model, command=("run", "it"), restart=restart, grace=grace, watchdog=self.watchdog, start=self.start
        )

    async def loading(self, **options: object) -> EngineHost:
        """A host whose engine loads."""
        host = self.host(**options)
        host.start()
        await quiet()
        return host

    async def ready(self, **options: object) -> EngineHost:
        """A host whose engine is ready, and has nothing to do."""
        host = await self.loading(**options)
        self.started[-1].ready()
        self.started[-1].sent.clear()
        return host


def ask(identifier: str = "r", **fields: object) -> GenerationRequest:
    return GenerationRequest(**({"id": identifier, "prompt": TextPrompt("hi")} | fields))


def opened(host: EngineHost, identifier: str = "r") -> TextMailbox:
    """The mailbox of a request that was sent to the engine."""
    return host.open(ask(identifier), TextMailbox)
