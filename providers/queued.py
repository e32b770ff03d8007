"""The path of every request through a provider: the queue, a place, then the events."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Generic, NoReturn, Protocol, TypeVar

import otel
from providers.admission import AdmissionQueue
from providers.capabilities import MODALITIES, ImageTask
from providers.chat.types import SamplingParams
from providers.errors import GenerationTimeout, InternalError, ServiceError
from providers.events import Event, Request
from providers.protocols import Medium, ModelCard, ModelStatus, QueueStats, ReplicaState, ResidentState
from providers.residency import Residency
from providers.spec import ModelSpec

__all__ = ["Events", "QueuedProvider", "Record"]

R = TypeVar("R", bound=Request)
E = TypeVar("E", bound=Event)
E_co = TypeVar("E_co", bound=Event, covariant=True)
E_contra = TypeVar("E_contra", bound=Event, contravariant=True)


class _Ended(Protocol):
    """A span that may end with an error or a cancellation."""

    def fail(self, error: BaseException) -> None: ...

    def cancel(self) -> None: ...


class Events(Protocol[E_co]):
    """The events of an answer: a generator, or what can be read like one."""

    def __aiter__(self) -> AsyncIterator[E_co]: ...

    async def __anext__(self) -> E_co: ...

    async def aclose(self) -> None: ...


class Record(_Ended, Protocol[E_contra]):
    """Telemetry of one answer."""

    def note(self, event: E_contra) -> None:
        """Record an event, the last one included."""

    def stop(self) -> None:
        """Record that the answer is complete."""


class QueuedProvider(ABC, Generic[R, E]):
    """A `Provider` with admission, spans, `timeout` and counts; a subclass makes the events."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._created = int(time.time())
        self._queue = self._new_queue()
        self.join(Residency())
        otel.watch(self.reading)

    def join(self, residency: Residency) -> None:
        """Share memory with other models."""
        self.residency = residency
        residency.add(self)

    def keeps(self, spec: ModelSpec) -> bool:
        """Whether the model has the engine of this spec, or will have it when `roll` is over."""
        return self._spec.same_engine(spec)

    def adopt(self, spec: ModelSpec) -> None:
        """Have another spec from now on, but for what is the engines', if `roll` is to give them that."""
        if spec.pin != self._spec.pin:
            self.pin(spec.pin)
        self._spec = spec

    def rolls_to(self, spec: ModelSpec) -> bool:
        """Whether `roll` can give the model this spec: it has several engines, and some can answer meanwhile."""
        return False

    async def roll(self, spec: ModelSpec) -> None:
        """Give the model's engines the spec that it adopted, one after the other.

        Raises:
            ModelNotReady: an engine cannot be loaded with it. The model keeps the former spec.
        """
        raise NotImplementedError

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def card(self) -> ModelCard:
        return ModelCard(
            id=self._spec.name,
            created=self._created,
            capabilities=MODALITIES[self._spec.model_type].capabilities,
            status=self._status,
            context_length=self._context_length,
            detail=self._detail,
            sampling=self._sampling,
            aliases=self._spec.aliases,
            pinned=self.memory.pinned,
            on_demand=self._on_demand,
            reads=self._reads,
            images=self._images,
            progress=self._progress,
            replicas=self._replicas,
        )

    @property
    def queue_stats(self) -> QueueStats:
        return self._queue.stats

    @property
    def memory(self) -> ResidentState:
        return self.residency.state(self)

    @property
    def full(self) -> bool:
        return self._queue.full

    def refuse_full(self) -> NoReturn:
        self._queue.refuse_full()

    def reading(self) -> otel.ModelReading:
        """The model's metrics now; called from any thread."""
        return otel.ModelReading(
            model=self._spec.name,
            ready=self._status == "ready",
            pending=self._queue.pending,
            active=self._queue.active,
            sequences=self._queue.taken,
            outcomes=self._queue.outcomes,
        )

    @property
    def _sampling(self) -> SamplingParams:
        return self._spec.sampling

    @property
    @abstractmethod
    def _status(self) -> ModelStatus: ...

    @property
    def _context_length(self) -> int | None:
        return None

    @property
    def _detail(self) -> str | None:
        return None

    @property
    def _on_demand(self) -> bool:
        return self._spec.lazy

    @property
    def _reads(self) -> tuple[Medium, ...]:
        return ()

    @property
    def _images(self) -> tuple[ImageTask, ...]:
        return MODALITIES[self._spec.model_type].images

    @property
    def _progress(self) -> float | None:
        return None

    @property
    def _replicas(self) -> tuple[ReplicaState, ...]:
        return ()

    @property
    def _places(self) -> int:
        """Answers that the model generates together."""
        return self._spec.max_concurrency

    @abstractmethod
    def _refusal(self) -> ServiceError | None:
        """The error that refuses a request now, or None."""

    @abstractmethod
    def _events(self, request: R) -> Events[E]:
        """Answer an admitted request; closing the events frees what the answer holds."""

    async def _load(self, request: R) -> None:
        """Load the model of an admitted request if it is not loaded.

        Raises:
            ModelNotReady: the model cannot be loaded.
            DoesNotFit, QueueTimeout: there is no memory for it.
        """

    @property
    @abstractmethod
    def resident(self) -> bool: ...

    def footprint(self) -> int:
        return 0

    @abstractmethod
    async def release(self) -> None: ...

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    def begin_load(self) -> None: ...

    @abstractmethod
    async def load(self) -> None: ...

    async def unload(self) -> None:
        await self.residency.unload(self)

    def pin(self, pinned: bool) -> None:
        self.residency.pin(self, pinned)

    @abstractmethod
    async def wait_ready(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    def begin_drain(self) -> None:
        self._queue.begin_drain()

    def _new_queue(self) -> AdmissionQueue:
        spec = self._spec
        return AdmissionQueue(
            max_concurrency=spec.max_concurrency, queue_size=spec.queue_size, queue_timeout=spec.queue_timeout
        )

    @property
    def _queues(self) -> Sequence[AdmissionQueue]:
        return (self._queue,)

    def _resize(self) -> None:
        """Let as many requests in as the engines that can answer have places for."""
        spec = self._spec
        # A request for as many answers as one engine has places for must always be possible.
        places = max(self._places, spec.max_concurrency)
        for queue in self._queues:
            queue.resize(max_concurrency=places, queue_size=spec.queue_size, queue_timeout=spec.queue_timeout)

    async def _answered(
        self,
        request: R,
        record: Callable[[], Record[E]],
        places: int = 1,
        queue: AdmissionQueue | None = None,
        answers: int | None = None,
    ) -> AsyncGenerator[E, None]:
        """Wait for this number of places, then answer, until one event per answer has ended it.

        `queue`: another one than the model's own. `answers`: one per place by default.
        """
        queue = queue or self._queue
        queue_span = otel.start_queue(model=self._spec.name, request_id=request.id, depth=queue.pending)
        with _recorded(queue_span):
            if (refusal := self._refusal()) is not None:
                queue.refuse(refusal)
            slot = await queue.admit(places)
            queue_span.admitted()
        unfinished = places if answers is None else answers
        with slot:
            await self._enter()
            try:
                await self._load(request)
                span = record()
                seconds = request.timeout
                with _recorded(span):
                    answer = self._events(request) if seconds is None else self._timed_events(request, seconds)
                    async with aclosing(answer) as events:
                        async for event in events:
                            span.note(event)
                            unfinished -= event.ends
                            if not unfinished:
                                break
                            yield event
                    if unfinished:
                        raise InternalError.truncated("answer")
                    span.stop()
            finally:
                self.residency.leave(self)
        # The places are free before the consumer sees the end, so that closing the generator on the last event does not
        # count as a cancellation.
        yield event

    async def _enter(self, *, brief: bool = False) -> None:
        await self.residency.enter(self, self._spec.queue_timeout, brief=brief)

    async def _timed_events(self, request: R, seconds: float) -> AsyncGenerator[E, None]:
        """`_events` within this time; an event that is there already is never lost to it."""
        deadline = asyncio.get_running_loop().time() + seconds
        async with aclosing(self._events(request)) as events:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise GenerationTimeout(f"the answer took longer than {seconds:g} seconds") from None
                yield event


@contextmanager
def _recorded(span: _Ended) -> Iterator[None]:
    """End a span as its block ended, if that was an error or a cancellation."""
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):
        span.cancel()
        raise
    except BaseException as error:
        span.fail(error)
        raise
