"""The engine hosts of one model, used like a single one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs

import otel
from providers.chat.types import GenerationRequest
from providers.devices import devices_of, environment_of
from providers.engine_host.event_stream import Mailbox
from providers.engine_host.frames import Answer, EngineInfo, EngineRequest, Question
from providers.engine_host.host import EngineHost
from providers.engine_host.process import start_of
from providers.errors import ModelNotReady
from providers.protocols import ModelStatus, ReplicaState
from providers.replicas.prefixes import prefixes_of
from providers.replicas.routing import Load, Router
from providers.spec import ModelSpec

__all__ = ["Replicas", "make_host"]

M = TypeVar("M", bound=Mailbox[Any])

_IN_ORDER: Sequence[ModelStatus] = ("ready", "loading", "restarting", "unloaded", "failed", "stopped")
"""The first of these that a replica has is that of the model."""

_log = otel.get_logger(__name__)


def make_host(spec: ModelSpec) -> EngineHost | Replicas:
    """What keeps the engines of a model alive."""
    return _host(spec, 0) if spec.replicas == 1 else Replicas(spec)


def _host(spec: ModelSpec, number: int) -> EngineHost:
    """The host of the replica of a number, whose engine sees only its own devices."""
    start = start_of(spec, environment_of(devices_of(spec, number)))
    return EngineHost(spec.of_replica, replica=number if spec.replicas > 1 else None, start=start)


@attrs.define(eq=False)
class _Replica:
    number: int
    spec: ModelSpec
    host: EngineHost
    answers: int = 0
    """Answers that it generates now."""
    uses: int = 0
    """Requests and questions that it has."""
    start: int = 0
    """The engine that its part of the router's memory is about, by its number."""
    leaving: bool = False
    """Its engine is being exchanged: it gets no more requests."""

    @property
    def status(self) -> ModelStatus:
        return "loading" if self.leaving and self.host.status in ("ready", "unloaded") else self.host.status

    @property
    def able(self) -> bool:
        return self.status == "ready"


class Replicas:
    """Several engines of one model. Its methods are those of `EngineHost`, which see.

    Every engine is started, restarted and ended by a host of its own: a death takes only the requests of its replica.
    `status` is `ready` while any replica can answer.
    """

    def __init__(self, spec: ModelSpec, *, make: Callable[[ModelSpec, int], EngineHost] = _host) -> None:
        """`make` makes the host of the replica of a number, counted from 0."""
        self._spec = spec
        self._make = make
        self._router = Router()
        self._rolling = asyncio.Lock()
        self._changes = asyncio.Event()
        self._stopped = False
        self.on_change: Callable[[], None] = lambda: None
        """Called when another number of replicas can answer."""
        self._replicas = [self._new(spec, number) for number in range(spec.replicas)]

    def _new(self, spec: ModelSpec, number: int) -> _Replica:
        return _Replica(number, spec, self._new_host(spec, number))

    def _new_host(self, spec: ModelSpec, number: int) -> EngineHost:
        host = self._make(spec, number)
        host.on_change = self._changed
        host.loading_together = self._loading_together
        return host

    def _loading_together(self) -> int:
        return sum(host.status != "ready" for host in self.engines)

    # What it is

    @property
    def engines(self) -> tuple[EngineHost, ...]:
        """The hosts, in the order of the replicas."""
        return tuple(replica.host for replica in self._replicas)

    @property
    def status(self) -> ModelStatus:
        found = {replica.status for replica in self._replicas}
        return next(status for status in _IN_ORDER if status in found)

    @property
    def detail(self) -> str | None:
        """What the replicas that cannot answer are doing."""
        others = [each for each in self._replicas if not each.able]
        if others and len(others) < len(self._replicas):
            doing = "; ".join(f"replica {each.number} is {each.status}{_why(each.host)}" for each in others)
            return f"{len(self._replicas) - len(others)} of {len(self._replicas)} replicas are ready: {doing}"
        return next((each.host.detail for each in others if each.status == self.status), None)

    @property
    def fraction(self) -> float | None:
        found = [each.host.fraction for each in self._replicas if each.host.fraction is not None]
        return min(found, default=None)

    @property
    def info(self) -> EngineInfo | None:
        """The description of the first engine that was ready."""
        return next((host.info for host in self.engines if host.info is not None), None)

    @property
    def places(self) -> int:
        """Answers that the replicas which can answer generate together; of all replicas while none can."""
        able = [each for each in self._replicas if each.able] or self._replicas
        return sum(each.spec.max_concurrency for each in able)

    def states(self) -> tuple[ReplicaState, ...]:
        """Each replica now."""
        return tuple(
            ReplicaState(
                replica=each.number,
                status=each.status,
                detail=each.host.detail,
                device=next(iter(devices_of(each.spec, each.number)), None),
                active=each.answers,
                routed=self._router.counts(each.number),
            )
            for each in self._replicas
        )

    def refusal(self) -> ModelNotReady | None:
        return None if self.status == "ready" else self._not_ready()

    def retry_seconds(self) -> float:
        return min(host.retry_seconds() for host in self.engines)

    def _not_ready(self) -> ModelNotReady:
        status = self.status
        like = next(each for each in self._replicas if each.status == status)
        return like.host.refusal() or ModelNotReady(f"{self._spec.name} is {status}", retry_after=self.retry_seconds())

    # Its life

    def start(self) -> None:
        for host in self.engines:
            host.start()

    async def start_again(self) -> None:
        await asyncio.gather(*(host.start_again() for host in self.engines))

    async def unload(self) -> None:
        await asyncio.gather(*(host.unload() for host in self.engines))

    async def wait_ready(self) -> None:
        """Return when no replica loads any more and at least one can answer. Raises as `EngineHost.wait_ready`."""
        failures = await asyncio.gather(*(host.wait_ready() for host in self.engines), return_exceptions=True)
        first = next((each for each in failures if each is not None), None)
        if first is not None and self.status != "ready":
            raise first

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*(host.stop() for host in self.engines))

    def begin_stop(self) -> None:
        self._stopped = True
        for host in self.engines:
            host.begin_stop()

    # Requests

    def open(self, request: EngineRequest, mailbox: Callable[[Callable[[bool], None]], M]) -> M:
        """Send a request to the replica that the router chooses. Raises as `EngineHost.open`."""
        able = self._able()
        chat = request if isinstance(request, GenerationRequest) else None
        # A prompt that is only computed waits until its engine is idle.
        answers = 1 if chat is None else 0 if chat.prefill_only else chat.n
        key = hash((chat.cache_salt, chat.cache_key)) if chat is not None and chat.cache_key else None
        prefixes = prefixes_of(request)
        while able:
            loads = [Load(each.number, each.answers, each.spec.max_concurrency) for each in able]
            number, route = self._router.route(loads, prefixes, key, answers=answers)
            replica = next(each for each in able if each.number == number)
            try:
                opened = self._open(replica, request, mailbox, answers)
            except ModelNotReady:  # it stopped reading long ago, which its watchdog has not noticed yet
                able.remove(replica)
                if not able:
                    raise
            else:
                otel.note_replica(number, route)
                return opened
        raise self._not_ready()

    def _open(
        self,
        replica: _Replica,
        request: EngineRequest,
        mailbox: Callable[[Callable[[bool], None]], M],
        answers: int,
    ) -> M:
        opened = replica.host.open(request, lambda close: mailbox(self._closing(replica, answers, close)))
        replica.answers += answers
        replica.uses += 1
        return opened

    def _closing(self, replica: _Replica, answers: int, close: Callable[[bool], None]) -> Callable[[bool], None]:
        def closed(unfinished: bool) -> None:
            replica.answers -= answers
            replica.uses -= 1
            close(unfinished)
            self._notify()

        return closed

    async def ask(self, question: Question) -> Answer:
        """Ask the replica that has least to do; all know the same. Raises as `EngineHost.ask`."""
        if not (able := self._able()):
            raise self._not_ready()
        replica = min(able, key=lambda each: each.uses)
        with self._used(replica):
            return await replica.host.ask(question)

    @contextmanager
    def _used(self, replica: _Replica) -> Iterator[None]:
        replica.uses += 1
        try:
            yield
        finally:
            replica.uses -= 1
            self._notify()

    def _able(self) -> list[_Replica]:
        """The replicas that can answer, after forgetting what ended engines knew."""
        able = [replica for replica in self._replicas if replica.able]
        for replica in able:
            if replica.start != replica.host.starts:
                replica.start = replica.host.starts
                self._router.forget(replica.number)
        return able

    # Other options

    @property
    def can_roll(self) -> bool:
        """Whether the replicas can be exchanged one after the other: it takes two, so that one goes on answering."""
        return len(self._replicas) > 1 and not self._stopped and self.status not in ("unloaded", "failed")

    async def roll(self, spec: ModelSpec) -> None:
        """Give the replicas these options, one after the other, each when its requests have ended.

        All others can answer meanwhile; those that cannot answer anyway are exchanged first. A replica whose engine
        and options stay the same is left as it is. `spec.replicas` may be another number.

        Raises:
            ModelNotReady: a replica cannot be loaded with these options. It has its former ones again, and no further
                replica was exchanged.
        """
        async with self._rolling:
            self._spec = spec
            for replica in sorted(self._replicas[: spec.replicas], key=lambda each: each.able):
                if _engine_of(replica.spec, replica.number) != _engine_of(spec, replica.number):
                    await self._others_ready(replica)
                    await self._exchange(replica, spec)
                replica.spec = spec
            for number in range(len(self._replicas), spec.replicas):
                await self._add(self._new(spec, number))
            for replica in reversed(self._replicas[spec.replicas :]):
                await self._others_ready(replica)
                await self._remove(replica)

    async def _others_ready(self, replica: _Replica) -> None:
        await self._until(lambda: all(each.able for each in self._replicas if each is not replica))

    async def _exchange(self, replica: _Replica, spec: ModelSpec) -> None:
        former = replica.spec
        await self._leave(replica)
        try:
            await self._load(replica, spec)
        except ModelNotReady as error:
            _log.error(
                "replica keeps its former options", model=spec.name, replica=replica.number, reason=error.message
            )
            await replica.host.stop()
            await self._load(replica, former)
            raise
        finally:
            replica.leaving = False
            self._changed()
        _log.info("replica has other options", model=spec.name, replica=replica.number)

    async def _leave(self, replica: _Replica) -> None:
        """End a replica's engine after its requests."""
        replica.leaving = True
        self._changed()
        await self._until(lambda: not replica.uses)
        await replica.host.stop()
        self._router.forget(replica.number)

    async def _load(self, replica: _Replica, spec: ModelSpec) -> None:
        replica.host, replica.spec, replica.start = self._new_host(spec, replica.number), spec, 0
        if self._stopped:
            replica.host.begin_stop()
        replica.host.start()
        await replica.host.wait_ready()

    async def _add(self, replica: _Replica) -> None:
        self._replicas.append(replica)
        try:
            replica.host.start()
            await replica.host.wait_ready()
        except ModelNotReady:
            self._replicas.remove(replica)
            raise

    async def _remove(self, replica: _Replica) -> None:
        await self._leave(replica)
        self._replicas.remove(replica)
        self._changed()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changes.wait()

    def _changed(self) -> None:
        self._notify()
        self.on_change()

    def _notify(self) -> None:
        self._changes.set()
        self._changes = asyncio.Event()


def _engine_of(spec: ModelSpec, number: int) -> tuple[ModelSpec, tuple[int, ...]]:
    """What an engine is loaded with: the number of its siblings and when it is loaded change nothing in it."""
    plain = ModelSpec(name=spec.name, path=spec.path)
    return attrs.evolve(spec.of_replica.loaded_as(plain), replicas=1, devices=()), devices_of(spec, number)


def _why(host: EngineHost) -> str:
    return "" if host.detail is None else f" ({host.detail})"
