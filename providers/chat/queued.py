"""A chat provider's requests through the queue, and the telemetry of its answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import otel
from providers.admission import AdmissionQueue
from providers.chat.content import ChatContent
from providers.chat.types import (
    Accepted,
    Finished,
    GenerationEvent,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
)
from providers.errors import InvalidRequest
from providers.queued import QueuedProvider
from providers.spec import ModelSpec

__all__ = ["QueuedChatProvider"]


class QueuedChatProvider(QueuedProvider[GenerationRequest, GenerationEvent]):
    """A `ChatProvider` whose subclass makes the events and knows the tokens."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self._prefills = self._new_queue()
        """For requests that only compute their prompts: they take no place that an answer could have."""

    @property
    def _queues(self) -> Sequence[AdmissionQueue]:
        return (self._queue, self._prefills)

    def begin_drain(self) -> None:
        super().begin_drain()
        self._prefills.begin_drain()

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        if request.n > self._spec.max_concurrency:
            most = self._spec.max_concurrency
            raise InvalidRequest(f"n is {request.n}; {self._spec.name} gives {most} answers at once", param="n")
        queue = self._prefills if request.prefill_only else None
        return self._answered(request, lambda: _ChatRecord(self._spec.name, request), places=request.n, queue=queue)


class _ChatRecord:
    """The span of one chat. Its answers share the prompt; the last of them to end reports the times."""

    def __init__(self, model: str, request: GenerationRequest) -> None:
        self._span = otel.start_chat(model=model, request_id=request.id, params=_params(request))
        self._finished: list[Finished] = []
        self._content = ChatContent(request) if otel.captures_content() else None

    def note(self, event: GenerationEvent) -> None:
        if self._content is not None:
            self._content.note(event)
        if isinstance(event, (TextDelta, ReasoningDelta)):
            self._span.generated(event.tokens)
        elif isinstance(event, Accepted):
            self._span.accepted(event.prompt_tokens, event.cached_tokens, event.pictures_encoded)
        elif isinstance(event, Finished):
            self._finished.append(event)
        else:
            self._span.generated(event.tokens)
            self._span.tool_call(event.index, event.call, event.id, event.name)

    def fail(self, error: BaseException) -> None:
        self._tell_content()
        self._span.fail(error)

    def cancel(self) -> None:
        self._tell_content()
        self._span.cancel()

    def _tell_content(self) -> None:
        if self._content is not None:
            self._span.content(self._content.collected())

    def stop(self) -> None:
        self._tell_content()
        last = self._finished[-1]
        self._span.stop(
            finish_reasons=tuple(end.finish_reason for end in sorted(self._finished, key=lambda end: end.index)),
            prompt_tokens=last.usage.prompt_tokens,
            completion_tokens=sum(end.usage.completion_tokens for end in self._finished),
            cached_tokens=last.usage.cached_tokens,
            prefill_seconds=last.prefill_seconds,
            decode_seconds=last.decode_seconds,
        )


def _params(request: GenerationRequest) -> otel.ChatParams:
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
        stream=request.stream or None,
        choices=request.n if request.n > 1 else None,
    )
