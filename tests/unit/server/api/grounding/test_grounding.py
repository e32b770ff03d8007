"""The passages that a prompt has room for."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

import otel
from otel import names
from otel.testing import capture_spans
from providers.chat.types import ChatMessage, ChatPrompt
from providers.errors import InvalidRequest, ModelNotReady, NotFound, ServiceError
from server.api.grounding.block import with_passages
from server.api.grounding.grounding import Grounding, Search, ground
from server.retrieval.passages import Passage
from server.retrieval.retrieval import Retrieval
from tests.unit.server.api.grounding.passages import BEES, HIVES, passage, searching
from tests.unit.server.fakes import FakeChat, FakeRegistry, prompt_text

PROMPT = ChatPrompt(messages=[ChatMessage(role="user", content="Why?")])
SEARCH = Search(vector_store_ids=["vs_1"], query="Why?", param="here")
CONTEXT = 4096
"""That of `FakeChat`, whose tokens are bytes."""
ANSWER = 1024


async def grounded(
    search: Search = SEARCH, *, max_tokens: int | None = None, chat: FakeChat | None = None
) -> Grounding:
    prompt_of = partial(with_passages, PROMPT, cite=True)
    return await ground(Retrieval(FakeRegistry([])), search, chat or FakeChat(), prompt_of, max_tokens=max_tokens)


async def test_all_passages_are_used_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    found = searching(monkeypatch, BEES, HIVES)
    search = Search(vector_store_ids=["vs_1", "vs_2"], query="Why?", max_results=5, score_threshold=0.3, param="here")

    grounding = await grounded(search)

    assert found.calls == [
        {"stores": ["vs_1", "vs_2"], "queries": ["Why?"], "max_results": 5, "filters": None, "score_threshold": 0.3}
    ]
    assert (grounding.passages, grounding.found) == ((BEES, HIVES), 2)
    assert grounding.tokens == len(prompt_text(grounding.prompt)) - len("Why?")


@pytest.mark.parametrize("count", range(6))
async def test_the_lowest_scores_are_left_out_first(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passages of one length, of which `count` fit."""
    many = [passage(f"{number}" * 1000, score=1 - number / 10) for number in range(5)]
    searching(monkeypatch, *many)
    block = len(prompt_text(with_passages(PROMPT, many[:1], cite=True)))
    chat = FakeChat(context_length=block + (count - 1) * (1000 + len("\n\n[1] bees.md\n")) + 10)

    grounding = await grounded(max_tokens=10, chat=chat)

    assert [*grounding.passages] == many[:count]
    assert grounding.found == 5
    assert grounding.tokens == len(prompt_text(grounding.prompt)) - len("Why?")
    assert len(chat.tokenized) <= 5


@pytest.mark.parametrize(
    ("max_tokens", "kept"), [(None, ANSWER), (-1, ANSWER), (100, 100), (0, 0), (9000, CONTEXT // 4)]
)
async def test_the_answer_keeps_its_room(max_tokens: int | None, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = len(prompt_text(with_passages(PROMPT, [passage("")], cite=True)))
    for extra, used in ((0, 1), (1, 0)):
        searching(monkeypatch, passage("x" * (CONTEXT - kept - fixed + extra)))
        assert len((await grounded(max_tokens=max_tokens)).passages) == used


async def test_an_empty_turn_is_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = searching(monkeypatch, BEES)

    grounding = await grounded(Search(vector_store_ids=["vs_1"], query=" \n", param="here"))

    assert (found.calls, grounding.found, grounding.tokens, grounding.prompt) == ([], 0, 0, PROMPT)


@pytest.mark.parametrize(
    ("error", "param"),
    [
        (NotFound("no store", param="vector_store_id"), "here.vector_store_ids"),
        (InvalidRequest("no embedding model"), "here.vector_store_ids"),
        (InvalidRequest("no number", param="filters.filters[0].value"), "here.filters.filters[0].value"),
        (ModelNotReady("loading"), None),
    ],
)
async def test_a_failed_search_names_the_field_of_the_request(
    error: ServiceError, param: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching(monkeypatch, error=error)
    with pytest.raises(type(error)) as raised:
        await grounded()
    assert raised.value.param == param


async def test_the_summary_of_the_request_is_not_that_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    async def search(*_: object, **__: object) -> list[Passage]:
        embedding = otel.start_task("embeddings", model="embedder", request_id="r")
        embedding.stop({names.GEN_AI_USAGE_INPUT_TOKENS: 7})
        return [BEES]

    monkeypatch.setattr(Retrieval, "search", search)
    with otel.start_server_span("POST", "/", {}).use() as server:
        await grounded()
        otel.start_task("chat", model="talker", request_id="r").stop({names.GEN_AI_USAGE_INPUT_TOKENS: 5})

    assert (server.summary.model, server.summary.input_tokens) == ("talker", 5)
    assert {labels[names.GEN_AI_REQUEST_MODEL] for _, _, labels in server.summary.points} == {"embedder", "talker"}


async def test_a_search_has_its_span(monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_spans() as spans:
        searching(monkeypatch, BEES, HIVES)
        with otel.start_server_span("POST", "/", {}).use() as server:
            grounding = await grounded()
            searching(monkeypatch, error=NotFound("no store"))
            with pytest.raises(NotFound):
                await grounded()
            monkeypatch.setattr(Retrieval, "search", lambda *_, **__: asyncio.Event().wait())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await grounded()
        server.end()

    whole, failed, cancelled = (span for span in spans.all() if span.name == "grounding")
    assert whole.attributes == {
        names.REQUEST_ID: "",
        names.GROUNDING_STORES: 1,
        names.GROUNDING_FOUND: 2,
        names.GROUNDING_USED: 2,
        names.GROUNDING_TOKENS: grounding.tokens,
    }
    assert failed.attributes is not None
    assert failed.attributes[names.ERROR_TYPE] == "not_found"
    assert cancelled.attributes is not None
    assert cancelled.attributes[names.CANCELLED] is True
    parent = spans.one("POST").get_span_context()
    assert {span.parent.span_id for span in (whole, failed, cancelled) if span.parent} == {parent and parent.span_id}
