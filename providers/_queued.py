"""The one way through a chat provider: queue, place, events, whatever makes the events."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

import otel
from providers.admission import AdmissionQueue
from providers.errors import GenerationTimeout, InternalError, InvalidRequest, ServiceError
from providers.generation import Accepted, Finished, GenerationEvent, GenerationRequest
from providers.protocols import ModelCard, ModelStatus, QueueStats
from providers.spec import ModelSpec

__all__ = ["QueuedChatProvider"]


class QueuedChatProvider(ABC):
    """A `ChatProvider` whose subclass only makes events; admission, spans, `timeout` and counts are here."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._created = int(time.time())
        self._queue = AdmissionQueue(
            max_concurrency=spec.max_concurrency, queue_size=spec.queue_size, queue_timeout=spec.queue_timeout
        )

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def card(self) -> ModelCard:
        return ModelCard(
            id=self._spec.name,
            created=self._created,
            capabilities=("chat",),
            status=self._status,
            context_length=self._context_length,
            detail=self._detail,
        )

    @property
    def queue_stats(self) -> QueueStats:
        return self._queue.stats

    @property
    @abstractmethod
    def _status(self) -> ModelStatus: ...

    @property
    @abstractmethod
    def _context_length(self) -> int | None: ...

    @property
    @abstractmethod
    def _detail(self) -> str | None: ...

    @abstractmethod
    def _refusal(self) -> ServiceError | None:
        """Why a request cannot be taken now, or None."""

    @abstractmethod
    def _events(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """Answer an admitted request; closing it frees what the answer holds."""

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def wait_ready(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    def begin_drain(self) -> None:
        self._queue.begin_drain()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        if request.n < 1:
            raise InvalidRequest("n must be at least 1", param="n")
        if request.n > self._spec.max_concurrency:
            most = self._spec.max_concurrency
            raise InvalidRequest(f"n is {request.n}; {self._spec.name} gives {most} answers at once", param="n")
        queue_span = otel.start_queue(model=self._spec.name, request_id=request.id, depth=self._queue.pending)
        with _recorded(queue_span):
            if (refusal := self._refusal()) is not None:
                self._queue.refuse(refusal)
            slot = await self._queue.admit(request.n)
            queue_span.admitted()
        finished: list[Finished] = []
        with slot:
            chat_span = otel.start_chat(model=self._spec.name, request_id=request.id, params=_chat_params(request))
            with _recorded(chat_span):
                async with aclosing(self._timed_events(request)) as events:
                    async for event in events:
                        if isinstance(event, Finished):
                            finished.append(event)
                            if len(finished) == request.n:
                                break
                        _record(chat_span, event)
                        yield event
                if len(finished) < request.n:
                    raise InternalError("the answer ended without a last event")
                _record_end(chat_span, finished)
        # The place is free before the consumer sees the end, so that closing the generator on the last event is
        # no cancellation.
        yield finished[-1]

    async def _timed_events(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """`_events` under `request.timeout`; what is there already is never lost to it."""
        deadline = None if request.timeout is None else asyncio.get_running_loop().time() + request.timeout
        async with aclosing(self._events(request)) as events:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise GenerationTimeout(f"the answer took longer than {request.timeout:g} seconds") from None
                yield event


@contextmanager
def _recorded(span: otel.QueueSpan | otel.ChatSpan) -> Iterator[None]:
    """End a span the way its block ended, unless it ended well."""
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):
        span.cancel()
        raise
    except BaseException as error:
        span.fail(error)
        raise


def _record(span: otel.ChatSpan, event: GenerationEvent) -> None:
    if isinstance(event, Accepted):
        span.accepted(event.prompt_tokens, event.cached_tokens)
    elif not isinstance(event, Finished):
        span.first_token()


def _record_end(span: otel.ChatSpan, finished: list[Finished]) -> None:
    """End the span with what all answers cost; they share the prompt, and the last to end tells the times."""
    last = finished[-1]
    span.stop(
        finish_reasons=tuple(answer.finish_reason for answer in sorted(finished, key=lambda answer: answer.index)),
        prompt_tokens=last.usage.prompt_tokens,
        completion_tokens=sum(answer.usage.completion_tokens for answer in finished),
        cached_tokens=last.usage.cached_tokens,
        prefill_seconds=last.prefill_seconds,
        decode_seconds=last.decode_seconds,
    )


def _chat_params(request: GenerationRequest) -> otel.ChatParams:
    sampling = request.sampling
    return otel.ChatParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=request.max_tokens,
        seed=sampling.seed,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        stop=tuple(request.stop),
        choices=request.n if request.n > 1 else None,
    )
