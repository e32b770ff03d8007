"""`/v1/completions`."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from litestar import Controller, MediaType, Request, Response, post
from litestar.params import JSONBody

import otel
from contracts.completions import DEFAULT_MAX_TOKENS, Completion, CompletionRequest
from providers.chat.protocol import CHAT, ChatProvider
from providers.chat.types import GenerationRequest, TextPrompt, TokenPrompt
from providers.errors import InvalidRequest
from server.api.completions.fan_out import merged
from server.api.completions.request import chooses, to_generation_requests, top
from server.api.completions.response import CompletionChunkEncoder, completion
from server.api.error_responses import ANSWERING, errors
from server.api.generation.collect import collect_all
from server.api.generation.header import AnswerHeader
from server.api.openapi import StreamedCompletionOperation
from server.dependencies import Chat, ServiceDependency, provide
from server.guards import QUEUE, json_body
from server.large_bodies import translated

__all__ = ["CompletionsController"]


class CompletionsController(Controller):
    path = "/v1/completions"
    tags = ("Completions",)
    dependencies = {"chat": provide(CHAT)}  # noqa: RUF012

    @post(
        before_request=json_body,
        opt={QUEUE: CHAT},
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createCompletion",
        name="completions.create",
        summary="Continue a text",
        description="Responds with the whole answer, or with server-sent events when `stream` is true.",
        operation_class=StreamedCompletionOperation,
        responses=errors(*ANSWERING),
    )
    async def create(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[CompletionRequest],
        chat: Chat,
        service: ServiceDependency,
    ) -> Response[Completion]:
        request_id = otel.request_id.get() or ""
        header = AnswerHeader.new(model=chat.spec.name, version=service.version, request_id=request_id, prefix="cmpl")
        default_tokens = DEFAULT_MAX_TOKENS if chat.spec.max_tokens is None else None
        asked = await translated(request, to_generation_requests, data, id=request_id, default_tokens=default_tokens)
        n = asked[0].n
        if chooses(data) and n > chat.spec.max_concurrency:
            message = f"best_of is {n}; {chat.spec.name} gives {chat.spec.max_concurrency} answers at once"
            raise InvalidRequest(message, param="best_of")
        async with service.answering(request.receive):
            echoes = [await _text(chat, one) if data.echo else "" for one in asked]
        if len(asked) == 1:
            events = aclosing(chat.generate(asked[0]))
        else:
            events = aclosing(merged(chat.generate, asked, at_once=max(1, chat.spec.max_concurrency // n)))
        if data.stream:
            include_usage = data.stream_options.include_usage if data.stream_options else None
            encoder = CompletionChunkEncoder(
                header, include_usage=include_usage, echoes=echoes, n=n, top=bool(top(data))
            )
            return service.streamed(events, encoder, answers=n * len(asked))
        async with service.answering(request.receive), events as source:
            answers = await collect_all(source, n * len(asked))
        return Response(completion(header, answers, echoes=echoes, n=data.n or 1, logprobs=top(data)))


async def _text(chat: ChatProvider, request: GenerationRequest) -> str:
    """The text of the prompt, which `echo` repeats."""
    prompt = request.prompt
    if isinstance(prompt, TextPrompt):
        return prompt.text
    assert isinstance(prompt, TokenPrompt)
    return await chat.detokenize(prompt.tokens)
