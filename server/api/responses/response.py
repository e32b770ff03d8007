"""The response object in each of its states, and the whole response of a request that does not stream."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncIterator
from typing import Any, Literal
from uuid import uuid4

import attrs

from contracts.responses.events import ResponseStreamEvent
from contracts.responses.request import ENCRYPTED_REASONING, CreateResponse, Reasoning
from contracts.responses.response import (
    IncompleteDetails,
    InputTokensDetails,
    OutputTokensDetails,
    Response,
    ResponseAudio,
    ResponseError,
    ResponseUsage,
)
from contracts.responses.tools import ResponseTextParam, TextResponseFormatText
from providers.chat.protocol import ChatProvider
from providers.chat.types import Accepted, Finished, SamplingParams, Usage
from providers.errors import InternalError, InvalidRequest, QueueFull, ServiceError
from providers.protocols import ModelCard
from server.api.generation.parameters import note_given_up
from server.api.responses.hosted.file_search import FileSearch
from server.api.responses.hosted.image_generation import ImageTool, PaintedEvent, PaintingEvent
from server.api.responses.hosted.image_items import ImageFold
from server.api.responses.items import OutputFold
from server.api.responses.tools import OfferedTools, as_choice

__all__ = ["ResponseDraft", "new_response_id", "whole_response"]


def new_response_id() -> str:
    return f"resp_{uuid4().hex}"


class ResponseDraft:
    """A response that is being generated: the request's values, and the output so far."""

    def __init__(
        self,
        request: CreateResponse,
        offered: OfferedTools,
        chat: ChatProvider,
        *,
        id: str,
        request_id: str,
        search: FileSearch | None = None,
        paints: ImageTool | None = None,
    ) -> None:
        self._request, self._chat, self.id, self.request_id = request, chat, id, request_id
        self._created_at = int(time.time())
        self.audio: ResponseAudio | None = None
        self._search = search
        self.output = OutputFold(id, offered, encrypt=ENCRYPTED_REASONING in (request.include or []))
        self._images = None if paints is None else ImageFold(id, self.output, paints)

    @property
    def model(self) -> str:
        return self._chat.spec.name

    @functools.cached_property
    def created(self) -> Response:
        """The response in progress, without output. The model must have accepted the request: only then are its
        defaults known."""
        return _created(
            self._request, self._chat.card, id=self.id, created_at=self._created_at, request_id=self.request_id
        )

    def accepted(self) -> list[ResponseStreamEvent]:
        """Begin the output with the search, if there is one. Returns its events."""
        return [] if self._search is None else self.output.searched(self._search.call, self._search.citable)

    def painted(self, event: PaintedEvent) -> list[ResponseStreamEvent]:
        """Add an event of an image to the output. Returns the events that it causes."""
        assert self._images is not None
        return self._images.add(event)

    def stored(self, response: Response) -> Response:
        """The response as it is stored: with the results of the search, which later prompts hold."""
        return response if self._search is None else self._search.stored(response)

    def finished(self, event: Finished) -> Response:
        """The response after its last event. Call `output.finish` first."""
        cut = event.finish_reason == "length"
        return attrs.evolve(
            self.created,
            status="incomplete" if cut else "completed",
            completed_at=None if cut else int(time.time()),
            incomplete_details=IncompleteDetails(reason="max_output_tokens") if cut else None,
            output=self.output.items,
            audio=self.audio,
            usage=_usage(event.usage, self._search.tokens if self._search else None),
        )

    def failed(self, error: ServiceError) -> Response:
        """The response with its output up to this error."""
        return attrs.evolve(
            self.created,
            status="failed",
            output=self.output.items,
            audio=self.audio,
            error=ResponseError(code=_code(error), message=error.message, type=error.code),
        )

    def cancelled(self) -> Response:
        """The response with its output up to the client's disconnect."""
        return attrs.evolve(self.created, status="cancelled", output=self.output.items, audio=self.audio)


async def whole_response(draft: ResponseDraft, events: AsyncIterator[PaintingEvent]) -> Response:
    """Read an answer to its end.

    Raises:
        InternalError: the events ended without `Finished`.
        ServiceError: any error of the provider.
    """
    async for event in events:
        if isinstance(event, Finished):
            draft.output.finish(event.finish_reason)
            return draft.finished(event)
        if isinstance(event, Accepted):
            note_given_up(event)
            draft.accepted()
        elif isinstance(event, PaintedEvent):
            draft.painted(event)
        else:
            draft.output.add(event)
    raise InternalError.truncated("answer")


def _created(request: CreateResponse, model: ModelCard, *, id: str, created_at: int, request_id: str) -> Response:
    text = request.text or ResponseTextParam()
    return Response(
        id=id,
        created_at=created_at,
        status="in_progress",
        model=model.id,
        output=[],
        instructions=request.instructions,
        previous_response_id=request.previous_response_id or None,
        store=request.store is not False,
        max_output_tokens=_first(request.max_output_tokens, request.max_completion_tokens, request.max_tokens),
        max_tool_calls=request.max_tool_calls,
        metadata=request.metadata or {},
        parallel_tool_calls=request.parallel_tool_calls is not False,
        prompt_cache_key=request.prompt_cache_key,
        reasoning=_reasoning(request.reasoning or Reasoning(effort=request.reasoning_effort)),
        safety_identifier=request.safety_identifier,
        **_sampling(request, model.sampling),
        text=ResponseTextParam(format=text.format or TextResponseFormatText(type="text"), verbosity="medium"),
        tool_choice=as_choice(request.tool_choice),
        tools=request.tools or [],
        top_logprobs=request.top_logprobs or 0,
        user=request.user,
        request_id=request_id,
    )


def _sampling(request: CreateResponse, model: SamplingParams) -> dict[str, Any]:
    """The numbers that are used: the request's, else the model's, else OpenAI's."""
    usual = {"temperature": 1.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
    chosen = {name: (getattr(request, name), getattr(model, name), value) for name, value in usual.items()}
    return {name: _first(*values) for name, values in chosen.items()}


def _first(*values: Any) -> Any:
    """The first value that is not None; None: there is none."""
    return next((value for value in values if value is not None), None)


def _reasoning(asked: Reasoning) -> Reasoning:
    """What was used of it: a summary in particular is not written."""
    return Reasoning(effort=asked.effort, summary="auto" if asked.summary == "auto" else None)


def _usage(usage: Usage, context_tokens: int | None) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=usage.cached_tokens, context_tokens=context_tokens),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=usage.reasoning_tokens),
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )


def _code(error: ServiceError) -> Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]:
    """The closest of OpenAI's codes."""
    if isinstance(error, QueueFull):
        return "rate_limit_exceeded"
    return "invalid_prompt" if isinstance(error, InvalidRequest) else "server_error"
