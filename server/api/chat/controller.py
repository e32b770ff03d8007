"""`/v1/chat/completions`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from litestar import Controller, MediaType, Request, Response, post
from litestar.params import FromPath, JSONBody

import otel
from contracts.chat.audio import HeardAnswer, HeardRequest
from contracts.chat.request import ChatCompletionRequest
from contracts.chat.response import ChatCompletion
from providers.chat.protocol import CHAT
from server.api.chat.attached import with_file_texts
from server.api.chat.context import grounded
from server.api.chat.functions import has_functions
from server.api.chat.request import to_generation_request
from server.api.chat.response import ChatChunkEncoder, CitingChunkEncoder, chat_completion
from server.api.chat.spoken import SpokenAnswers, SpokenChunkEncoder, spoken_completion
from server.api.chat.transcribed import with_transcripts
from server.api.error_responses import ANSWERING, errors
from server.api.generation.collect import collect_all
from server.api.generation.header import AnswerHeader
from server.api.generation.messages import chat_attachments
from server.api.generation.parts.pictures import documents, pictures
from server.api.grounding.answer import GroundedAnswer
from server.api.openapi import StreamedOperation
from server.api.spoken.audio import recorded, voiced
from server.api.spoken.heard import heard_answer, with_heard
from server.api.spoken.speaking import SpokenEvent, speaking
from server.api.spoken.voice import answer_voice
from server.api.spoken.wire import new_answer
from server.dependencies import Chat, Service, ServiceDependency, provide
from server.guards import QUEUE, json_body
from server.large_bodies import translated

__all__ = ["ChatController"]


class ChatController(Controller):
    path = "/v1/chat/completions"
    tags = ("Chat",)

    @post(
        before_request=json_body,
        dependencies={"chat": provide(CHAT)},
        opt={QUEUE: CHAT},
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createChatCompletion",
        name="chat.completions.create",
        summary="Continue a conversation",
        description="Responds with the whole answer, or with server-sent events when `stream` is true.",
        operation_class=StreamedOperation,
        responses=errors(*ANSWERING),
    )
    async def create(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[ChatCompletionRequest],
        chat: Chat,
        service: ServiceDependency,
    ) -> Response[ChatCompletion]:
        request_id = otel.request_id.get() or ""
        header = AnswerHeader.new(
            model=chat.spec.name, version=service.version, request_id=request_id, prefix="chatcmpl"
        )
        files = documents(service, service.retrieval, chat)
        data = await with_file_texts(data, request, service, files)
        data = await with_transcripts(data, request, service)
        data = with_heard(data, service.said)
        shown = await pictures(chat_attachments(data.messages), request, service, files.contents, chat)
        asked = await translated(request, to_generation_request, data, shown.seen, id=request_id)
        answer = grounded(data, asked, chat, service.retrieval)
        voice = None
        if not data.prefill_only:
            voice = await answer_voice(data, data.modalities, service.registry, request_id=request_id)
        if voice is not None:
            said = [
                new_answer(service.said, header.id, model=chat.spec.name, request_id=request_id) for _ in range(asked.n)
            ]
            spoken = speaking(
                answer.events(),
                voice.speak,
                answers=asked.n,
                max_seconds=data.max_spoken_seconds,
                speed=voice.speed,
            )
            answers = SpokenAnswers(header, voice, said, has_functions(data), answer)
            return await _spoken(request, service, recorded(spoken, said, service.said), answers, data)
        return await _written(request, service, header, answer, data, n=asked.n)

    @post(
        "/{completion_id:str}/heard",
        before_request=json_body,
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="reportHeard",
        name="chat.completions.heard",
        summary="Report how much of a spoken answer was played",
        description="Later turns that refer to the answer hold the words that were heard to their end. `events` become "
        "a span in the trace of the answer's request.",
        responses=errors(400, 404, 500),
    )
    async def heard(
        self, completion_id: FromPath[str], data: JSONBody[HeardRequest], service: ServiceDependency
    ) -> Response[HeardAnswer]:
        return Response(heard_answer(service.said, completion_id, data, request_id=otel.request_id.get() or ""))


async def _spoken(
    request: Request[Any, Any, Any],
    service: Service,
    events: AsyncGenerator[SpokenEvent, None],
    answers: SpokenAnswers,
    data: ChatCompletionRequest,
) -> Response[ChatCompletion]:
    """The answers with their speech, whole or streamed."""
    if data.stream:
        encoder = SpokenChunkEncoder(answers, include_usage=_include_usage(data))
        source = aclosing(voiced(events, answers.voice.audio_format))
        return service.streamed(source, encoder, answers=len(answers.said))
    async with service.answering(request.receive), aclosing(events) as answer:
        return Response(await spoken_completion(answers, answer))


async def _written(
    request: Request[Any, Any, Any],
    service: Service,
    header: AnswerHeader,
    answer: GroundedAnswer,
    data: ChatCompletionRequest,
    *,
    n: int,
) -> Response[ChatCompletion]:
    """The answers as text, whole or streamed."""
    events, older = aclosing(answer.events()), has_functions(data)
    if data.stream:
        options: dict[str, Any] = {"include_usage": _include_usage(data), "n": n, "older": older}
        searched = data.context is not None
        encoder = CitingChunkEncoder(header, answer, **options) if searched else ChatChunkEncoder(header, **options)
        return service.streamed(events, encoder, answers=n)
    async with service.answering(request.receive), events as source:
        answers = await collect_all(source, n)
        return Response(chat_completion(header, answers, older=older, grounding=answer.grounding))


def _include_usage(data: ChatCompletionRequest) -> bool | None:
    return data.stream_options.include_usage if data.stream_options else None
