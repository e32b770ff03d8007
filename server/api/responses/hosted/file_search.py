"""`file_search` of a response: whether and what the server searches, and the item that reports it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import MappingProxyType

import attrs
from msgspec import structs

from contracts.responses.items import FileSearchCall, FileSearchResult, StoredItem
from contracts.responses.request import CreateResponse, TokenCountRequest
from contracts.responses.response import Response
from contracts.responses.tools import FileSearchTool, ToolChoiceAllowed, ToolChoiceOther
from contracts.responses.tools import ToolChoice as WireToolChoice
from providers.chat.protocol import ChatProvider
from providers.chat.types import ChatPrompt
from providers.errors import InvalidRequest
from server.api.grounding.answer import GroundedAnswer
from server.api.grounding.grounding import DEFAULT_RESULTS, MAX_QUERY, Grounding, Search, ground
from server.api.responses.conversation import item_id, message_text, to_turns
from server.api.responses.hosted.searched import citable, is_user_turn
from server.api.responses.tools import as_choice
from server.media.attachments import Seen
from server.retrieval.passages import Passage
from server.retrieval.retrieval import Retrieval

__all__ = ["FileSearch", "finder", "search_of"]


def search_of(request: CreateResponse | TokenCountRequest, own: Sequence[StoredItem]) -> Search | None:
    """The search before the answer to the last user turn of the request's `own` input. None: there is none.

    A turn whose passages the input holds already is not searched again.

    Raises:
        InvalidRequest: the request has two such tools.
    """
    tools = [(place, tool) for place, tool in enumerate(request.tools or []) if isinstance(tool, FileSearchTool)]
    if len(tools) > 1:
        path = f"tools[{tools[1][0]}]"
        raise InvalidRequest(f"{path}: there is a file_search tool already; give it all vector stores", param=path)
    turn = next((place for place in reversed(range(len(own))) if is_user_turn(own[place])), None)
    if not tools or turn is None or not _chosen(request.tool_choice) or citable(own[turn:]):
        return None
    place, tool = tools[0]
    threshold = tool.ranking_options.score_threshold if tool.ranking_options else None
    return Search(
        vector_store_ids=tool.vector_store_ids,
        query=message_text(own[turn])[:MAX_QUERY],
        max_results=tool.max_num_results or DEFAULT_RESULTS,
        filters=tool.filters,
        score_threshold=threshold or 0.0,
        param=f"tools[{place}]",
    )


def finder(
    retrieval: Retrieval,
    search: Search,
    chat: ChatProvider,
    prompt: ChatPrompt,
    turns: Sequence[StoredItem],
    *,
    instructions: str | None,
    max_tokens: int | None = None,
    spoken: bool = False,
    seen: Seen = MappingProxyType({}),
) -> Callable[[], Awaitable[Grounding]]:
    """What searches, and puts the passages into the prompt of these turns."""

    def with_passages(passages: Sequence[Passage]) -> ChatPrompt:
        searched = [*turns, _call("", search.query, passages, spoken=spoken)]
        messages = to_turns(searched, instructions=instructions, seen=seen)
        return structs.replace(prompt, messages=messages)

    return partial(ground, retrieval, search, chat, with_passages, max_tokens=max_tokens)


@attrs.define(frozen=True, slots=False)
class FileSearch:
    """The search of one response, once its answer is accepted. `query` None: nothing is searched."""

    response_id: str
    answer: GroundedAnswer
    turns: Sequence[StoredItem]
    query: str | None
    shows_results: bool
    spoken: bool

    @property
    def tokens(self) -> int | None:
        """Tokens of the prompt that the passages take; None: nothing was searched."""
        return self.answer.grounding.tokens if self.answer.grounding else None

    @property
    def citable(self) -> list[FileSearchResult]:
        """What the answer may cite."""
        return citable([*self.turns, *([self._whole] if self._whole else [])])

    @property
    def call(self) -> FileSearchCall | None:
        """The first item of the output, as the client sees it; None: nothing was searched."""
        call = self._whole
        return call if call is None or self.shows_results else attrs.evolve(call, results=None)

    def stored(self, response: Response) -> Response:
        """The response with the results that later prompts hold."""
        call = self._whole
        if call is None:
            return response
        output = [call if isinstance(item, FileSearchCall) else item for item in response.output]
        return attrs.evolve(response, output=output)

    @functools.cached_property
    def _whole(self) -> FileSearchCall | None:
        grounding = self.answer.grounding
        if grounding is None or self.query is None:
            return None
        call = _call(
            item_id("file_search_call", self.response_id, 0), self.query, grounding.passages, spoken=self.spoken
        )
        return attrs.evolve(call, found=grounding.found, used=len(grounding.passages))


def _call(id: str, query: str, passages: Sequence[Passage], *, spoken: bool) -> FileSearchCall:
    return FileSearchCall(
        type="file_search_call",
        id=id,
        queries=[query],
        status="completed",
        marks=False if spoken else None,
        results=[
            FileSearchResult(
                file_id=passage.file_id,
                filename=passage.filename,
                score=passage.score,
                text=passage.text,
                attributes=dict(passage.attributes),
                vector_store_id=passage.vector_store_id,
                start=passage.start,
                end=passage.end,
            )
            for passage in passages
        ],
    )


def _chosen(choice: WireToolChoice | None) -> bool:
    """Whether the choice of a tool lets the server search."""
    choice = as_choice(choice)
    if isinstance(choice, ToolChoiceAllowed):
        return any(tool.type == "file_search" for tool in choice.tools)
    if isinstance(choice, ToolChoiceOther):
        return choice.type == "file_search"
    return choice in ("auto", "required", "any")
