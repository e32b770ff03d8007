"""`/v1/messages` and `/v1/messages/count_tokens`."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from litestar import Controller, MediaType, Request, Response, post
from litestar.params import JSONBody

import otel
from contracts.messages.request import CountTokensRequest, MessagesRequest
from contracts.messages.response import Message, MessagesErrorResponse, MessageTokensCount
from providers.chat.protocol import CHAT
from server.api.error_responses import ANSWERING, COUNTING, errors
from server.api.generation.collect import collect_all
from server.api.generation.parts.pictures import documents, pictures
from server.api.messages.attached import with_document_texts
from server.api.messages.errors import MESSAGES_EXCEPTION_HANDLERS
from server.api.messages.request import message_attachments, to_message_generation, to_message_prompt
from server.api.messages.response import MessageHeader, message
from server.api.messages.stream import MessageStreamEncoder
from server.api.openapi import StreamedMessageOperation
from server.dependencies import Chat, ServiceDependency, provide
from server.guards import QUEUE, json_body
from server.large_bodies import translated

__all__ = ["MessagesController"]


class MessagesController(Controller):
    path = "/v1/messages"
    tags = ("Messages",)
    dependencies = {"chat": provide(CHAT)}  # noqa: RUF012
    exception_handlers = MESSAGES_EXCEPTION_HANDLERS  # type: ignore[assignment]

    @post(
        before_request=json_body,
        opt={QUEUE: CHAT},
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createMessage",
        name="messages.create",
        summary="Continue a conversation, in Anthropic's schema",
        description="Returns a whole message, or server-sent events when `stream` is true.",
        operation_class=StreamedMessageOperation,
        responses=errors(*ANSWERING, contract=MessagesErrorResponse),
    )
    async def create(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[MessagesRequest],
        chat: Chat,
        service: ServiceDependency,
    ) -> Response[Message]:
        files = documents(service, service.retrieval, chat)
        data = await with_document_texts(data, request, service, files)
        request_id = otel.request_id.get() or ""
        header = MessageHeader.new(model=chat.spec.name, request_id=request_id)
        shown = await pictures(message_attachments(data.messages), request, service, files.contents, chat)
        asked = await translated(request, to_message_generation, data, shown.seen, id=request_id)
        events = aclosing(chat.generate(asked))
        if data.stream:
            encoder = MessageStreamEncoder(header)
            return service.streamed(events, encoder, ending=encoder)
        async with service.answering(request.receive), events as answer:
            (whole,) = await collect_all(answer, 1)
            return Response(message(header, whole))

    @post(
        "/count_tokens",
        before_request=json_body,
        status_code=200,
        operation_id="countMessageTokens",
        name="messages.count_tokens",
        summary="Count the tokens of a conversation and its tools",
        responses=errors(*COUNTING, contract=MessagesErrorResponse),
    )
    async def count_tokens(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[CountTokensRequest],
        chat: Chat,
        service: ServiceDependency,
    ) -> MessageTokensCount:
        files = documents(service, service.retrieval, chat)
        data = await with_document_texts(data, request, service, files)
        shown = await pictures(message_attachments(data.messages), request, service, files.contents, chat)
        prompt = to_message_prompt(data, shown.seen)
        async with service.answering(request.receive):
            return MessageTokensCount(input_tokens=len(await chat.tokenize(prompt)))
