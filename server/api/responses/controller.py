"""`/v1/responses`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

from litestar import Controller, MediaType, Request, Response, delete, get, post, route
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import JSONBody, Parameter

import otel
from contracts.responses.items import StoredItem
from contracts.responses.request import CreateResponse, TokenCountRequest
from contracts.responses.response import DeletedResponse, ResponseItemList, TokenCount
from contracts.responses.response import Response as ResponseContract
from providers.chat.protocol import CHAT, ChatProvider
from providers.chat.types import ChatPrompt, GenerationEvent, GenerationRequest
from providers.errors import InvalidRequest, NotFound, PreviousResponseNotFound
from server.api.error_responses import ANSWERING, COUNTING, errors
from server.api.openapi import StreamedResponseOperation
from server.api.responses.conversation import input_items, references
from server.api.responses.custom_input import custom_inputs
from server.api.responses.pages import MAX_LIMIT, page
from server.api.responses.parameters import (
    refuse_unsupported_count,
    refuse_unsupported_response,
    refuse_unsupported_retrieval,
)
from server.api.responses.request import renamed, to_prompt, to_response_generation
from server.api.responses.response import ResponseDraft, new_response_id, whole_response
from server.api.responses.store import ResponseStore
from server.api.responses.stream import ResponseStreamEncoder
from server.api.responses.tools import OfferedTools, offer
from server.dependencies import Chat, ServiceDependency, provide
from server.guards import json_body
from server.large_bodies import translated

__all__ = ["ResponsesController"]

ResponseId = Annotated[str, Parameter(description="The response's id.")]
_LIMIT = {"type": OpenAPIType.INTEGER, "minimum": 1, "maximum": MAX_LIMIT, "default": 20}
_ORDER = {"enum": ["asc", "desc"]}
"""`limit` and `order` are read as text, so that errors in them have our envelope and their name. The document describes
their real types."""
_CHAT = provide(CHAT)
_OF_STORED = (400, 401, 404, 500, 503)
"""Error statuses of requests for a stored response."""


class ResponsesController(Controller):
    path = "/v1/responses"
    tags = ("Responses",)

    @post(
        guards=(json_body,),
        dependencies={"chat": _CHAT},
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createResponse",
        name="responses.create",
        summary="Continue a conversation of items",
        description="Responds with the whole answer, or with server-sent events when `stream` is true.",
        operation_class=StreamedResponseOperation,
        responses=errors(*ANSWERING),
    )
    async def create(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[CreateResponse],
        chat: Chat,
        service: ServiceDependency,
    ) -> Response[ResponseContract]:
        refuse_unsupported_response(data)
        id, request_id = new_response_id(), otel.request_id.get() or ""
        earlier, own = await _conversation(data, service.responses, id)
        offered = offer(data.tools)
        draft = ResponseDraft(data, offered, chat, id=id, request_id=request_id)
        turns = [*earlier, *own]
        asked = await translated(request, to_response_generation, data, turns, offered, id=request_id)
        events = aclosing(_events(chat, asked, offered))
        keep = partial(_keep, service.responses, own)
        if data.stream:
            encoder = ResponseStreamEncoder(draft, keep)
            return service.streamed(events, encoder, ending=encoder)
        async with service.answering(request.receive), events as answer:
            response = await whole_response(draft, answer)
        keep(response)
        return Response(response)

    @post(
        "/input_tokens",
        guards=(json_body,),
        dependencies={"chat": _CHAT},
        status_code=200,
        operation_id="countInputTokens",
        name="responses.input_tokens",
        summary="Count the tokens of a response's input",
        responses=errors(*COUNTING),
    )
    async def input_tokens(
        self, data: JSONBody[TokenCountRequest], chat: Chat, service: ServiceDependency
    ) -> TokenCount:
        refuse_unsupported_count(data)
        earlier, own = await _conversation(data, service.responses, new_response_id())
        tokens = await chat.tokenize(to_prompt(data, [*earlier, *own], offer(data.tools)))
        return TokenCount(input_tokens=len(tokens))

    @route("/compact", http_method=["DELETE", "GET", "POST"], status_code=200, include_in_schema=False)
    async def compact(self) -> None:
        """A 404, where `GET /v1/responses/{id}` would make it a 405: agents then compact by themselves."""
        raise NotFound("This server does not compact conversations.")

    @get(
        "/{response_id:str}",
        operation_id="getResponse",
        name="responses.retrieve",
        summary="Fetch a stored response",
        responses=errors(*_OF_STORED),
    )
    async def retrieve(
        self, response_id: ResponseId, request: Request[Any, Any, Any], service: ServiceDependency
    ) -> ResponseContract:
        refuse_unsupported_retrieval(request.query_params.multi_items())
        return await _stored(service.responses, response_id)

    @delete(
        "/{response_id:str}",
        status_code=200,
        operation_id="deleteResponse",
        name="responses.delete",
        summary="Delete a stored response",
        description="Responses that continue it can still be fetched, but not continued.",
        responses=errors(*_OF_STORED),
    )
    async def delete(self, response_id: ResponseId, service: ServiceDependency) -> DeletedResponse:
        if not await service.responses.delete(response_id):
            raise _not_found(response_id)
        return DeletedResponse(id=response_id)

    @post(
        "/{response_id:str}/cancel",
        status_code=200,
        operation_id="cancelResponse",
        name="responses.cancel",
        summary="Refuse to cancel: only background responses can be cancelled, and there are none",
        description="To cancel a running response, close the connection that requested it.",
        responses=errors(*_OF_STORED),
    )
    async def cancel(self, response_id: ResponseId, service: ServiceDependency) -> ResponseContract:
        await _stored(service.responses, response_id)
        raise InvalidRequest(
            "Cannot cancel a synchronous response; to cancel a running one, close its connection",
            param="response_id",
        )

    @get(
        "/{response_id:str}/input_items",
        operation_id="listInputItems",
        name="responses.input_items",
        summary="List the input items of a stored response",
        description="Includes the conversation that the response continued; it comes before the response's own input.",
        responses=errors(*_OF_STORED),
    )
    async def input_items(
        self,
        response_id: ResponseId,
        request: Request[Any, Any, Any],
        service: ServiceDependency,
        limit: Annotated[str, Parameter(description="The number of items.", schema_extra=_LIMIT)] = "20",
        order: Annotated[str, Parameter(description="`desc`: the newest first.", schema_extra=_ORDER)] = "desc",
        after: Annotated[str | None, Parameter(description="The id of the item before the page.")] = None,
    ) -> ResponseItemList:
        refuse_unsupported_retrieval(request.query_params.multi_items())
        items = await service.responses.conversation(response_id, answered=False)
        if items is None:
            raise _not_found(response_id)
        return page(items, limit=limit, order=order, after=after)


def _events(
    chat: ChatProvider, request: GenerationRequest, offered: OfferedTools
) -> AsyncGenerator[GenerationEvent, None]:
    """The answer, with tools and parameters as the client knows them."""
    prompt = request.prompt
    listed = prompt.tools if isinstance(prompt, ChatPrompt) else []
    events = renamed(chat.generate(request), offered, listed)
    return custom_inputs(events, offered) if offered.has_custom else events


async def _conversation(
    data: CreateResponse | TokenCountRequest, store: ResponseStore, response_id: str
) -> tuple[list[StoredItem], list[StoredItem]]:
    """The earlier conversation, and the request's own input.

    Raises:
        PreviousResponseNotFound, NotFound: the store lacks an item that the input refers to.
    """
    previous = data.previous_response_id or None
    earlier = [] if previous is None else await store.conversation(previous)
    if earlier is None:
        raise PreviousResponseNotFound(
            f"Previous response with id '{(previous or '')[:128]}' not found.", param="previous_response_id"
        )
    ids = references(data.input)
    referred = await store.items(ids) if ids else {}
    for id in ids:
        if id not in referred:
            raise NotFound(f"Item with id '{id[:128]}' not found. Items are kept where `store` is true.", param="input")
    return earlier, input_items(data.input, referred, response_id=response_id)


async def _stored(store: ResponseStore, id: str) -> ResponseContract:
    response = await store.get(id)
    if response is None:
        raise _not_found(id)
    return response


def _keep(store: ResponseStore, input: list[StoredItem], response: ResponseContract) -> None:
    if response.store:
        store.put(response, input)


def _not_found(id: str) -> NotFound:
    return NotFound(f"Response with id '{id[:128]}' not found.", param="response_id")
