"""`/v1/chat/completions`."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from litestar import Controller, MediaType, Request, Response, post
from litestar.params import JSONBody

import otel
from contracts.chat.request import ChatCompletionRequest
from contracts.chat.response import ChatCompletion
from providers.chat.protocol import CHAT
from server.api.chat.functions import has_functions
from server.api.chat.request import to_generation_request
from server.api.chat.response import ChatChunkEncoder, chat_completion
from server.api.error_responses import ANSWERING, errors
from server.api.generation.collect import collect_all
from server.api.generation.header import AnswerHeader
from server.api.openapi import StreamedOperation
from server.dependencies import Chat, ServiceDependency, provide
from server.guards import json_body

__all__ = ["ChatController"]


class ChatController(Controller):
    path = "/v1/chat/completions"
    tags = ("Chat",)
    guards = (json_body,)
    dependencies = {"chat": provide(CHAT)}  # noqa: RUF012

    @post(
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
        asked = to_generation_request(data, id=request_id)
        events, older = aclosing(chat.generate(asked)), has_functions(data)
        if data.stream:
            include_usage = data.stream_options.include_usage if data.stream_options else None
            encoder = ChatChunkEncoder(header, include_usage=include_usage, n=asked.n, older=older)
            return service.streamed(events, encoder, answers=asked.n)
        async with service.answering(request.receive), events as answer:
            return Response(chat_completion(header, await collect_all(answer, asked.n), older=older))
