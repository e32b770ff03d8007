"""`context` of a chat: the search, and what the answer says of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from contracts.chat.request import ChatCompletionRequest
from contracts.retrieval.context import ChatFileCitation, ContextPassage, FileCitationAnnotation, UsedContext
from providers.chat.protocol import ChatProvider
from providers.chat.types import ChatPrompt, GenerationRequest
from server.api.grounding.answer import GroundedAnswer
from server.api.grounding.block import last_user_text, with_passages
from server.api.grounding.citations import Cited
from server.api.grounding.grounding import DEFAULT_RESULTS, MAX_QUERY, Grounding, Search, ground
from server.retrieval.passages import Passage
from server.retrieval.retrieval import Retrieval

__all__ = ["file_citations", "grounded", "used_context"]


def grounded(
    data: ChatCompletionRequest, asked: GenerationRequest, chat: ChatProvider, retrieval: Retrieval
) -> GroundedAnswer:
    """The answer, after the search that the request asks for.

    The prompt requests marks, unless the answer is spoken: a voice would read them out.
    """
    prompt, context = asked.prompt, data.context
    if context is None or not isinstance(prompt, ChatPrompt):
        return GroundedAnswer(chat, asked, None)
    search = Search(
        vector_store_ids=context.vector_store_ids,
        query=last_user_text(prompt)[:MAX_QUERY],
        max_results=context.max_results or DEFAULT_RESULTS,
        filters=context.filters,
        score_threshold=context.score_threshold or 0.0,
        param="context",
    )
    prompt_of = partial(with_passages, prompt, cite="audio" not in (data.modalities or []))
    return GroundedAnswer(chat, asked, partial(ground, retrieval, search, chat, prompt_of, max_tokens=asked.max_tokens))


def used_context(grounding: Grounding | None) -> UsedContext | None:
    """The passages of the prompt, on the wire."""
    if grounding is None:
        return None
    return UsedContext(passages=[_passage(passage) for passage in grounding.passages], found=grounding.found)


def file_citations(found: Iterable[Cited[Passage]]) -> list[FileCitationAnnotation] | None:
    """The citations on the wire; None: there are none."""
    return [FileCitationAnnotation(file_citation=_citation(each)) for each in found] or None


def _passage(passage: Passage) -> ContextPassage:
    return ContextPassage(
        file_id=passage.file_id,
        filename=passage.filename,
        vector_store_id=passage.vector_store_id,
        score=passage.score,
        start=passage.start,
        end=passage.end,
        text=passage.text,
    )


def _citation(found: Cited[Passage]) -> ChatFileCitation:
    passage = found.passage
    return ChatFileCitation(
        index=found.index, file_id=passage.file_id, filename=passage.filename, start=passage.start, end=passage.end
    )
