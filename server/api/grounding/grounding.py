"""The search before an answer, and the passages that its prompt has room for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs

import otel
from contracts.retrieval.filters import Filter
from providers.chat.protocol import ChatProvider
from providers.chat.types import ChatPrompt
from providers.errors import InvalidRequest, NotFound
from server.retrieval.passages import Passage
from server.retrieval.retrieval import Retrieval

__all__ = ["DEFAULT_RESULTS", "MAX_QUERY", "Grounding", "Search", "ground"]

DEFAULT_RESULTS = 10
MAX_QUERY = 4096
"""Characters of a turn to search with, from its beginning."""
_ANSWER_TOKENS = 1024
_ANSWER_SHARE = 4

WithPassages = Callable[[Sequence[Passage]], ChatPrompt]
"""The prompt that holds these passages."""


@attrs.frozen(kw_only=True)
class Search:
    """What to search for, and where. `param` is the path of the object that requests it, for errors."""

    vector_store_ids: Sequence[str]
    query: str
    max_results: int = DEFAULT_RESULTS
    filters: Filter | None = None
    score_threshold: float = 0.0
    param: str


@attrs.frozen(kw_only=True)
class Grounding:
    """The passages in a prompt, best first; how many were found; and the prompt's tokens that all passages take."""

    prompt: ChatPrompt
    passages: Sequence[Passage]
    found: int
    tokens: int


async def ground(
    retrieval: Retrieval, search: Search, chat: ChatProvider, with_passages: WithPassages, *, max_tokens: int | None
) -> Grounding:
    """Search, and make the prompt with as many of the passages as the context has room for, beside the answer.

    The room for the answer is `max_tokens`, or 1024 tokens, but at most a quarter of the context. The passages of the
    lowest scores are left out first.

    Raises:
        NotFound, InvalidRequest: a store does not exist, its embedding model does not, or the filter cannot be used.
        ServiceError: any error of the embedding model, or of the chat model's tokenizer.
    """
    with otel.start_grounding(
        stores=len(search.vector_store_ids), request_id=otel.request_id.get() or ""
    ).use() as span:
        found = await _found(retrieval, search)
        grounding = await _fitted(chat, with_passages, found, max_tokens)
        span.found(found=len(found), used=len(grounding.passages), tokens=grounding.tokens)
    return grounding


async def _found(retrieval: Retrieval, search: Search) -> Sequence[Passage]:
    if not search.query.strip():
        return []
    try:
        return await retrieval.search(
            search.vector_store_ids,
            [search.query],
            max_results=search.max_results,
            filters=search.filters,
            score_threshold=search.score_threshold,
        )
    except (InvalidRequest, NotFound) as error:
        field = error.param if (error.param or "").startswith("filters") else "vector_store_ids"
        error.param = f"{search.param}.{field}"
        raise


async def _fitted(
    chat: ChatProvider, with_passages: WithPassages, found: Sequence[Passage], max_tokens: int | None
) -> Grounding:
    """The prompt with the most passages that leave room for the answer."""

    async def tokens(count: int) -> int:
        return len(await chat.tokenize(with_passages(found[:count])))

    sizes = {0: await tokens(0), len(found): await tokens(len(found))}
    room = _room(chat.card.context_length, max_tokens)  # known once the model has counted
    fitting, count = 0, len(found)
    if sizes[count] > room:
        over = count  # `fitting` passages fit, or are none; `over` do not fit
        while over - fitting > 1:
            middle = (fitting + over) // 2
            sizes[middle] = await tokens(middle)
            fitting, over = (middle, over) if sizes[middle] <= room else (fitting, middle)
        count = fitting
    passages = found[:count]
    return Grounding(
        prompt=with_passages(passages), passages=passages, found=len(found), tokens=sizes[count] - sizes[0]
    )


def _room(context_length: int | None, max_tokens: int | None) -> float:
    """Tokens that the prompt may have."""
    if context_length is None:
        return math.inf
    wanted = _ANSWER_TOKENS if max_tokens is None or max_tokens < 0 else max_tokens
    return context_length - min(wanted, context_length // _ANSWER_SHARE)
