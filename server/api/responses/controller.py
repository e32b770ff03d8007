"""`/v1/responses`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

from litestar import Controller, MediaType, Request, Response, delete, get, post, route
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import JSONBody, Parameter

import otel
from contracts.chat.audio import HeardAnswer, HeardRequest
from contracts.responses.items import StoredItem
from contracts.responses.request import FILE_SEARCH_RESULTS, CreateResponse, TokenCountRequest
from contracts.responses.response import DeletedResponse, ResponseItemList, TokenCount
from contracts.responses.response import Response as ResponseContract
from providers.chat.protocol import CHAT, ChatProvider
from providers.chat.types import ChatPrompt, GenerationEvent, GenerationRequest
from providers.errors import InvalidRequest, NotFound, PreviousResponseNotFound
from server.api.error_responses import ANSWERING, COUNTING, OF_STORED, errors
from server.api.generation.parts.pictures import documents, pictures, reads_pictures
from server.api.grounding.answer import GroundedAnswer
from server.api.openapi import StreamedResponseOperation
from server.api.responses.attached import with_texts
from server.api.responses.conversation import input_items, references
from server.api.responses.custom_input import custom_inputs
from server.api.responses.heard import items_as_heard
from server.api.responses.hosted.file_search import FileSearch, finder, search_of
from server.api.responses.hosted.image_generation import ImageTool, image_tool, painted, painters
from server.api.responses.hosted.searched import recalled, without_result, without_results
from server.api.responses.parameters import (
    refuse_unsupported_count,
    refuse_unsupported_response,
    refuse_unsupported_retrieval,
)
from server.api.responses.parts import input_attachments, item_attachments, with_files
from server.api.responses.request import modalities, renamed, to_prompt, to_response_generation
from server.api.responses.response import ResponseDraft, new_response_id, whole_response
from server.api.responses.spoken import SpokenResponseEncoder, spoken_response, without_sound
from server.api.responses.stored.pages import MAX_LIMIT, page
from server.api.responses.stored.store import ResponseStore
from server.api.responses.stream import ResponseStreamEncoder
from server.api.responses.tools import OfferedTools, offer
from server.api.spoken.audio import recorded, voiced
from server.api.spoken.heard import heard_answer
from server.api.spoken.speaking import speaking
from server.api.spoken.voice import AnswerVoice, answer_voice
from server.api.spoken.wire import new_answer
from server.dependencies import Chat, Service, ServiceDependency, provide
from server.guards import QUEUE, json_body
from server.large_bodies import translated
from server.media.attachments import Contents, Seen
from server.media.showing import Shown
from server.retrieval.retrieval import Retrieval

__all__ = ["ResponsesController"]

ResponseId = Annotated[str, Parameter(description="The response's id.")]
_LIMIT = {"type": OpenAPIType.INTEGER, "minimum": 1, "maximum": MAX_LIMIT, "default": 20}
_ORDER = {"enum": ["asc", "desc"]}
"""`limit` and `order` are read as text, so that errors in them have our envelope and their name. The document describes
their real types."""
_CHAT = provide(CHAT)


class ResponsesController(Controller):
    path = "/v1/responses"
    tags = ("Responses",)

    @post(
        before_request=json_body,
        dependencies={"chat": _CHAT},
        opt={QUEUE: CHAT},
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
        files = documents(service, service.retrieval, chat)
        data = await with_texts(data, request, service, files)
        id, request_id = new_response_id(), otel.request_id.get() or ""
        earlier, own, shown = await _conversation(data, request, service, files.contents, chat, id)
        paints = _painting(data, service, request_id)
        offered = offer(data.tools, paints=paints is not None)
        turns = [*earlier, *own]
        asked = await translated(request, to_response_generation, data, turns, offered, shown.seen, id=request_id)
        search = _search(data, asked, turns, own, chat, service.retrieval, id=id, seen=shown.seen)
        draft = ResponseDraft(data, offered, chat, id=id, request_id=request_id, search=search, paints=paints)
        if shown.files:
            own = await asyncio.to_thread(with_files, own, shown.files)
        keep = partial(_keep, service.responses, own, draft)
        voice = await answer_voice(data, modalities(data), service.registry, request_id=request_id)
        generated = _events(search.answer, asked, offered)
        if voice is not None:
            return await _spoken(request, service, data, draft, generated, voice, keep)
        events = aclosing(painted(generated, offered, paints))
        if data.stream:
            encoder = ResponseStreamEncoder(draft, keep)
            return service.streamed(events, encoder, ending=encoder)
        async with service.answering(request.receive), events as answer:
            response = await whole_response(draft, answer)
        keep(response)
        return Response(response)

    @post(
        "/input_tokens",
        before_request=json_body,
        dependencies={"chat": _CHAT},
        status_code=200,
        operation_id="countInputTokens",
        name="responses.input_tokens",
        summary="Count the tokens of a response's input",
        responses=errors(*COUNTING),
    )
    async def input_tokens(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[TokenCountRequest],
        chat: Chat,
        service: ServiceDependency,
    ) -> TokenCount:
        refuse_unsupported_count(data)
        files = documents(service, service.retrieval, chat)
        data = await with_texts(data, request, service, files)
        earlier, own, shown = await _conversation(data, request, service, files.contents, chat, new_response_id())
        turns = [*earlier, *own]
        offered = offer(data.tools, paints=bool(painters(service.registry)))
        prompt = to_prompt(data, turns, offered, shown.seen)
        if (search := search_of(data, own)) is not None:
            find = finder(
                service.retrieval, search, chat, prompt, turns, instructions=data.instructions, seen=shown.seen
            )
            prompt = (await find()).prompt
        async with service.answering(request.receive):
            return TokenCount(input_tokens=len(await chat.tokenize(prompt)))

    @route("/compact", http_method=["DELETE", "GET", "POST"], status_code=200, include_in_schema=False)
    async def compact(self) -> None:
        """A 404, where `GET /v1/responses/{id}` would make it a 405: agents then compact by themselves."""
        raise NotFound("This server does not compact conversations.")

    @get(
        "/{response_id:str}",
        operation_id="getResponse",
        name="responses.retrieve",
        summary="Fetch a stored response",
        responses=errors(*OF_STORED),
    )
    async def retrieve(
        self, response_id: ResponseId, request: Request[Any, Any, Any], service: ServiceDependency
    ) -> ResponseContract:
        refuse_unsupported_retrieval(request.query_params.multi_items())
        response = await _stored(service.responses, response_id)
        return response if _shows_results(request) else without_results(response)

    @delete(
        "/{response_id:str}",
        status_code=200,
        operation_id="deleteResponse",
        name="responses.delete",
        summary="Delete a stored response",
        description="Responses that continue it can still be fetched, but not continued.",
        responses=errors(*OF_STORED),
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
        responses=errors(*OF_STORED),
    )
    async def cancel(self, response_id: ResponseId, service: ServiceDependency) -> ResponseContract:
        await _stored(service.responses, response_id)
        raise InvalidRequest(
            "Cannot cancel a synchronous response; to cancel a running one, close its connection",
            param="response_id",
        )

    @post(
        "/{response_id:str}/heard",
        before_request=json_body,
        status_code=200,
        operation_id="reportHeardResponse",
        name="responses.heard",
        summary="Report how much of a spoken response was played",
        description="Later turns that continue the response hold the words that were heard to their end. `events` "
        "become a span in the trace of the response's request.",
        responses=errors(400, 404, 500),
    )
    async def heard(
        self, response_id: ResponseId, data: JSONBody[HeardRequest], service: ServiceDependency
    ) -> HeardAnswer:
        request_id = otel.request_id.get() or ""
        return heard_answer(service.said, response_id, data, request_id=request_id, object="response.audio.heard")

    @get(
        "/{response_id:str}/input_items",
        operation_id="listInputItems",
        name="responses.input_items",
        summary="List the input items of a stored response",
        description="Includes the conversation that the response continued; it comes before the response's own input.",
        responses=errors(*OF_STORED),
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
        return page(
            items if _shows_results(request) else map(without_result, items), limit=limit, order=order, after=after
        )


def _search(
    data: CreateResponse,
    asked: GenerationRequest,
    turns: Sequence[StoredItem],
    own: Sequence[StoredItem],
    chat: ChatProvider,
    retrieval: Retrieval,
    *,
    id: str,
    seen: Seen,
) -> FileSearch:
    """The answer, with the search before it that the request asks for."""
    search, find, spoken = search_of(data, own), None, "audio" in (modalities(data) or [])
    if search is not None and isinstance(asked.prompt, ChatPrompt):
        find = finder(
            retrieval,
            search,
            chat,
            asked.prompt,
            turns,
            instructions=data.instructions,
            max_tokens=asked.max_tokens,
            spoken=spoken,
            seen=seen,
        )
    return FileSearch(
        response_id=id,
        answer=GroundedAnswer(chat, asked, find),
        turns=turns,
        query=search.query if search else None,
        shows_results=FILE_SEARCH_RESULTS in (data.include or []),
        spoken=spoken,
    )


def _painting(data: CreateResponse, service: Service, request_id: str) -> ImageTool | None:
    """What paints for the model. None: nothing does, as for a response that is spoken."""
    if "audio" in (modalities(data) or []):
        return None
    return image_tool(
        data.tools, service.registry, stream=bool(data.stream), request_id=request_id, timeout=data.timeout
    )


def _shows_results(request: Request[Any, Any, Any]) -> bool:
    """Whether the query of a stored response requests the results of its searches."""
    return any(
        name in ("include", "include[]") and value == FILE_SEARCH_RESULTS
        for name, value in request.query_params.multi_items()
    )


def _events(
    answer: GroundedAnswer, request: GenerationRequest, offered: OfferedTools
) -> AsyncGenerator[GenerationEvent, None]:
    """The answer, with tools and parameters as the client knows them."""
    prompt = request.prompt
    listed = prompt.tools if isinstance(prompt, ChatPrompt) else []
    events = renamed(answer.events(), offered, listed)
    return custom_inputs(events, offered) if offered.has_custom else events


async def _spoken(
    request: Request[Any, Any, Any],
    service: Service,
    data: CreateResponse,
    draft: ResponseDraft,
    generated: AsyncGenerator[GenerationEvent, None],
    voice: AnswerVoice,
    keep: Callable[[ResponseContract], None],
) -> Response[ResponseContract]:
    """The response with its speech, whole or streamed."""
    said = new_answer(service.said, draft.id, model=draft.model, request_id=draft.request_id)
    spoken = speaking(generated, voice.speak, max_seconds=data.max_spoken_seconds, speed=voice.speed)
    events = recorded(spoken, [said], service.said)
    if data.stream:
        encoder = SpokenResponseEncoder(draft, keep, voice, said)
        return service.streamed(aclosing(voiced(events, voice.audio_format)), encoder, ending=encoder)
    async with service.answering(request.receive), aclosing(events) as answer:
        response = await spoken_response(draft, answer, voice, said)
    keep(response)
    return Response(response)


async def _conversation(
    data: CreateResponse | TokenCountRequest,
    request: Request[Any, Any, Any],
    service: Service,
    contents: Contents,
    chat: ChatProvider,
    response_id: str,
) -> tuple[list[StoredItem], list[StoredItem], Shown]:
    """The earlier conversation and the request's own input, with what was heard of the turns that were spoken, and the
    pictures of both.

    Raises:
        PreviousResponseNotFound, NotFound: the store lacks an item that the input refers to.
        Other errors of `pictures`.
    """
    given = list(input_attachments(data.input))
    if not reads_pictures(chat):
        await pictures(given, request, service, contents, chat)  # which refuses them by their places
    store = service.responses
    previous = data.previous_response_id or None
    earlier = [] if previous is None else await store.conversation(previous)
    if earlier is None:
        raise PreviousResponseNotFound(
            f"Previous response with id '{(previous or '')[:128]}' not found.", param="previous_response_id"
        )
    ids, searches = references(data.input), recalled(data.input)
    referred = await store.items(ids, searches) if ids or searches else {}
    for id in ids:
        if id not in referred:
            raise NotFound(f"Item with id '{id[:128]}' not found. Items are kept where `store` is true.", param="input")
    own = input_items(data.input, referred, response_id=response_id, pictures=reads_pictures(chat))
    sources = {attachment.source for attachment in given}
    referred_to = [each for each in item_attachments(own) if each.source not in sources]
    shown = await pictures([*item_attachments(earlier), *referred_to, *given], request, service, contents, chat)
    heard = data.heard if isinstance(data, CreateResponse) else None
    items = items_as_heard([*earlier, *own], heard, service.said)
    return items[: len(earlier)], items[len(earlier) :], shown


async def _stored(store: ResponseStore, id: str) -> ResponseContract:
    response = await store.get(id)
    if response is None:
        raise _not_found(id)
    return response


def _keep(store: ResponseStore, input: list[StoredItem], draft: ResponseDraft, response: ResponseContract) -> None:
    if response.store:
        store.put(draft.stored(without_sound(response)), input)


def _not_found(id: str) -> NotFound:
    return NotFound(f"Response with id '{id[:128]}' not found.", param="response_id")
