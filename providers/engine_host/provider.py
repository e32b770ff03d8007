"""The part shared by all providers whose model lives in an engine process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import msgspec

import otel
from providers.capabilities import ImageTask
from providers.chat.types import SamplingParams
from providers.engine_host.event_stream import Mailbox
from providers.engine_host.frames import Answer, Question
from providers.engine_host.host import EngineHost
from providers.engine_host.readings import added, read_engine
from providers.errors import DoesNotFit, ModelNotReady, ServiceError
from providers.events import Event, Request
from providers.memory.footprint import footprint
from providers.protocols import Medium, ModelStatus, ReplicaState
from providers.queued import QueuedProvider
from providers.replicas.replicas import Replicas, make_host
from providers.spec import ModelSpec

__all__ = ["EngineProvider"]

R = TypeVar("R", bound=Request)
E = TypeVar("E", bound=Event)

_log = otel.get_logger(__name__)


class EngineProvider(QueuedProvider[R, E]):
    """A provider on an engine process, which the server's start, a client's wish or the first request starts."""

    def __init__(self, spec: ModelSpec, *, host: EngineHost | Replicas | None = None) -> None:
        super().__init__(spec)
        self.host = host or make_host(spec)
        self._wanted = spec
        """The spec that its engines have, or will have when `roll` is over."""
        self._loader: asyncio.Task[None] | None = None
        """The load that goes on: one for all requests that wait for it."""
        self._load_error: ServiceError | None = None
        """Why the last load failed, if it did."""
        self._loads = self._unloads = 0
        self._released = False
        """Whether it was unloaded, or did not fit at start: then a request loads it."""
        if isinstance(self.host, Replicas):
            self.host.on_change = self._resize
            self._resize()

    def keeps(self, spec: ModelSpec) -> bool:
        return self._wanted.same_engine(spec)

    def adopt(self, spec: ModelSpec) -> None:
        self._wanted = spec
        super().adopt(spec if self._spec.same_engine(spec) else self._spec.loaded_as(spec))
        self._released |= spec.lazy  # requests go on to load it where it is no longer lazy

    def rolls_to(self, spec: ModelSpec) -> bool:
        same = spec.model_type == self._spec.model_type
        return same and isinstance(self.host, Replicas) and self.resident and self.host.can_roll

    async def roll(self, spec: ModelSpec) -> None:
        assert isinstance(self.host, Replicas)
        self.residency.begin(self)  # idle time and a client's wish to unload it wait for the end
        try:
            await self.host.roll(spec)
        except ModelNotReady:
            if self._wanted.same_engine(spec):
                self._wanted = self._spec
            raise
        finally:
            self.residency.leave(self)
        if self._wanted.same_engine(spec):
            self._spec = self._wanted
            self._resize()

    @property
    def _status(self) -> ModelStatus:
        if self._begins:
            return "loading"
        if self.host.status == "unloaded" and self._load_error is not None and not self._spec.lazy:
            return "failed"
        return self.host.status

    @property
    def _sampling(self) -> SamplingParams:
        known = self.host.info.details.get("sampling", {}) if self.host.info else {}
        return msgspec.structs.replace(self._spec.sampling, **known)

    @property
    def _context_length(self) -> int | None:
        info = self.host.info
        if info is None or info.context_length is None:
            return None
        return min(self._spec.context_length, info.context_length)

    @property
    def _detail(self) -> str | None:
        if self._begins:
            return "waiting for memory"
        if self.host.status == "unloaded" and self._load_error is not None:
            return self._load_error.message
        return self.host.detail

    @property
    def _reads(self) -> tuple[Medium, ...]:
        if self.host.info is None:  # it may be `lazy`
            return ("image",) if self._spec.model_type == "multimodal" else ()
        return ("image",) if "image" in self.host.info.details.get("modalities", ()) else ()

    @property
    def _images(self) -> tuple[ImageTask, ...]:
        known = super()._images
        begins = self.host.info is not None and self.host.info.details.get("sources", "none") != "none"
        return (*known, "edit") if begins and known == ("generate",) else known

    @property
    def _progress(self) -> float | None:
        return self.host.fraction

    @property
    def _replicas(self) -> tuple[ReplicaState, ...]:
        return self.host.states() if isinstance(self.host, Replicas) else ()

    @property
    def _places(self) -> int:
        return self.host.places if isinstance(self.host, Replicas) else super()._places

    @property
    def _on_demand(self) -> bool:
        return self._released or self._spec.lazy

    @property
    def _begins(self) -> bool:
        """Whether a load goes on whose engine has not started."""
        return self._loader is not None and self.host.status in ("unloaded", "failed")

    @property
    def _loads_on_use(self) -> bool:
        """Whether requests are accepted although the engine is not ready: they load it and wait."""
        return self._on_demand and self.host.status in ("unloaded", "loading", "failed")

    @property
    def resident(self) -> bool:
        return self._loader is not None or self.host.status in ("loading", "ready", "restarting")

    def footprint(self) -> int:
        return sum(footprint(host.pid, host.memory) for host in self.host.engines)

    async def start(self) -> None:
        # The application starts what was started before it was built: a load that has failed by then stays so.
        if not self._spec.lazy and self._load_error is None:
            self._begin_load(evict=False)

    async def wait_ready(self) -> None:
        if self._loader is not None and not self._on_demand:
            await asyncio.wait({self._loader})
        if self._status == "failed" and self._load_error is not None:
            raise _copied(self._load_error)
        if not self._loads_on_use:
            await self.host.wait_ready()

    def begin_drain(self) -> None:
        super().begin_drain()
        if self.host.status in ("unloaded", "loading"):  # whatever waits for it would be refused after the load
            self._end_load()
            self.host.begin_stop()

    async def stop(self) -> None:
        self.begin_drain()
        self._end_load()
        await self.host.stop()

    def begin_load(self) -> None:
        if (refusal := self._final()) is not None:
            raise refusal
        self._begin_load()

    async def load(self) -> None:
        if self.host.status == "ready":
            await self.host.start_again()  # of several engines, those that failed
            return
        self.residency.begin(self)
        try:
            await self._loaded()
        finally:
            self.residency.leave(self)

    async def release(self) -> None:
        self._end_load()
        self._released, self._load_error = True, None
        await self.host.unload()
        self._unloads += 1

    def reading(self) -> otel.ModelReading:
        engines = [read_engine(host) for host in self.host.engines]
        caches = [engine.prefix_cache for engine in engines if engine.prefix_cache is not None]
        return attrs.evolve(
            super().reading(),
            restarts=sum(engine.restarts for engine in engines),
            loads=self._loads,
            unloads=self._unloads,
            memory=added(engine.memory for engine in engines),
            prefix_cache=sum(caches) if caches else None,
            speculated=added(engine.speculated for engine in engines),
            replicas=tuple(map(_with_state, engines, self._replicas)),
        )

    async def _ask(self, question: Question) -> Answer:
        """Ask the engine, which is loaded if necessary. Raises as `EngineHost.ask` and `_ready`."""
        # An answer for whose end the model's next requests wait may need this question's answer to get there.
        await self._enter(brief=self.host.status == "ready")
        try:
            await self._ready()
            return await self.host.ask(question)
        finally:
            self.residency.leave(self)

    async def _ready(self) -> None:
        """Load the engine if necessary, and return when it is ready.

        Raises:
            ModelNotReady: it cannot be loaded, or not within `spec.queue_timeout`, or requests do not wait for it.
            DoesNotFit, QueueTimeout: there is no memory for it.
        """
        if not self._loads_on_use:
            return
        if (refusal := self._refusal()) is not None:
            raise refusal
        try:
            async with asyncio.timeout(self._spec.queue_timeout):
                await self._loaded()
        except TimeoutError:
            raise ModelNotReady(f"{self._spec.name} is still loading: {self._detail}", retry_after=5.0) from None

    def _refusal(self) -> ServiceError | None:
        if not self._loads_on_use:
            return self._not_ready() if self.host.status == "unloaded" else self.host.refusal()
        if self._spec.load_policy == "wait":
            return None
        # The reason of a failure is reported once; the next request tries again.
        failure, self._load_error = self._load_error, None
        if failure is not None:
            return failure
        self._begin_load()
        return self._not_ready()

    def _not_ready(self) -> ModelNotReady:
        doing = "" if self._detail is None else f": {self._detail}"
        return ModelNotReady(f"{self._spec.name} is {self._status}{doing}", retry_after=self.host.retry_seconds())

    def _final(self) -> ModelNotReady | None:
        """The refusal of a model that was stopped."""
        return self.host.refusal() if self.host.status == "stopped" else None

    async def _load(self, request: R) -> None:
        if self._loads_on_use:
            with otel.start_load(model=self._spec.name, request_id=request.id):
                await self._ready()

    def _begin_load(self, *, evict: bool = True) -> asyncio.Task[None] | None:
        """Begin to load, unless a load goes on or the model is loaded. Returns the load that goes on."""
        if self._loader is None and self.host.status in ("unloaded", "failed"):
            self._load_error = None
            self._loader = asyncio.create_task(self._load_engine(evict), name=f"load {self._spec.name}")
            self._loader.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._loader

    async def _loaded(self) -> None:
        """Load, or wait for the load that goes on; cancelling the wait does not end the load."""
        loader = self._begin_load()
        if loader is None:
            await self.host.wait_ready()
            return
        await asyncio.wait({loader})
        if (refusal := self._final()) is not None:
            raise refusal
        if loader.cancelled():
            raise self._not_ready()
        if (error := loader.exception()) is not None:
            raise _copied(error)

    async def _load_engine(self, evict: bool) -> None:
        try:
            with otel.start_model_load(model=self._spec.name):
                await self.residency.admit(self, patience=self._spec.queue_timeout, evict=evict)
                await self.host.start_again()
                self.host.start()
                await self.host.wait_ready()
                self._loads += 1
                await self.residency.loaded(self)
        except asyncio.CancelledError:
            raise  # the engine is being ended, which frees its memory
        except ServiceError as error:
            self.residency.gone(self)
            self._load_error = error
            self._released |= isinstance(error, DoesNotFit)  # there may be room for it later
            raise
        except Exception:
            self.residency.gone(self)
            _log.exception("model cannot be loaded", model=self._spec.name)
            raise
        finally:
            if self._loader is asyncio.current_task():
                self._loader = None

    def _end_load(self) -> None:
        loader, self._loader = self._loader, None
        if loader is not None:
            loader.cancel()

    def _mailbox(self, request: R) -> Callable[[Callable[[bool], None]], Mailbox[E]]:
        """The class that collects the request's events until they are read."""
        return Mailbox

    def _events(self, request: R) -> Mailbox[E]:
        """Closing it frees the slot too: the next request's command follows the cancellation on the socket."""
        message: Any = request  # one of `EngineRequest`
        return self.host.open(message, self._mailbox(request))


def _with_state(reading: otel.ReplicaReading, state: ReplicaState) -> otel.ReplicaReading:
    ready = state.status == "ready"
    return attrs.evolve(reading, replica=state.replica, ready=ready, active=state.active, routed=state.routed)


def _copied(error: BaseException) -> BaseException:
    """The error for one of several requests that it ends: a raised exception collects the stack of its task."""
    if not isinstance(error, ServiceError):
        return error
    return type(error)(error.message, param=error.param, retry_after=error.retry_after)
