"""The search that a chat asks for, and what the answer reports of it, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.retrieval.filters import ComparisonFilter
from providers.chat.types import ChatPrompt, GenerationRequest, TextPrompt
from providers.errors import NotFound, ServiceError
from server.api.chat.context import file_citations, grounded, used_context
from server.api.grounding.citations import Cited
from server.api.grounding.grounding import Grounding
from server.retrieval.retrieval import Retrieval
from server.serialization import converter
from tests.unit.server.api.chat.asked import read, translate
from tests.unit.server.api.grounding.passages import BEES, HIVES, passage, searching
from tests.unit.server.fakes import FakeChat

CONTEXT = {"vector_store_ids": ["vs_1", "vs_2"]}
RETRIEVAL: Retrieval = object.__new__(Retrieval)


async def answered(asked: GenerationRequest | None = None, **fields: Any) -> tuple[ChatPrompt, Grounding | None]:
    """The prompt that reaches the model, and what the search found."""
    data, chat = read(**fields), FakeChat()
    answer = grounded(data, asked or translate(**fields), chat, RETRIEVAL)
    assert [event async for event in answer.events()]
    (request,) = chat.requests
    assert isinstance(request.prompt, ChatPrompt)
    return request.prompt, answer.grounding


async def test_without_context_nothing_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    found = searching(monkeypatch, BEES)
    prompt, grounding = await answered()
    assert prompt == translate().prompt
    assert (grounding, found.calls) == (None, [])


async def test_raw_text_is_never_searched_with(monkeypatch: pytest.MonkeyPatch) -> None:
    found, chat = searching(monkeypatch, BEES), FakeChat()
    asked = GenerationRequest(id="req_1", prompt=TextPrompt("Hi"))
    answer = grounded(read(context=CONTEXT), asked, chat, RETRIEVAL)
    assert [event async for event in answer.events()]
    assert (chat.requests, found.calls) == ([asked], [])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"max_results": 10, "filters": None, "score_threshold": 0.0}),
        (
            {"max_results": 4, "score_threshold": 0.5, "filters": {"type": "eq", "key": "year", "value": 2020}},
            {
                "max_results": 4,
                "filters": ComparisonFilter(type="eq", key="year", value=2020),
                "score_threshold": 0.5,
            },
        ),
    ],
)
async def test_the_last_turn_is_searched_with(
    fields: dict[str, Any], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = searching(monkeypatch, BEES)
    turns = [{"role": "user", "content": "No."}, {"role": "user", "content": "Why?" + "a" * 5000}]
    await answered(context={**CONTEXT, **fields}, messages=turns)
    query = ("Why?" + "a" * 5000)[:4096]
    assert found.calls == [{"stores": ["vs_1", "vs_2"], "queries": [query], **expected}]


@pytest.mark.parametrize(
    ("modalities", "cites"), [(None, True), (["text"], True), (["text", "audio"], False), (["audio"], False)]
)
async def test_a_voice_reads_out_no_marks(
    modalities: list[str] | None, cites: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching(monkeypatch, BEES, HIVES)
    prompt, grounding = await answered(context=CONTEXT, modalities=modalities)
    (turn,) = prompt.messages
    assert turn.content is not None
    assert "[1] bees.md\nBees dance.\n\n[2] hives.txt\nHives hum." in turn.content
    assert turn.content.endswith("\n\nHi")
    assert ("Cite each passage" in turn.content) is cites
    assert grounding is not None
    assert ([*grounding.passages], grounding.found) == ([BEES, HIVES], 2)


async def test_the_room_that_an_answer_needs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, passage("a" * 3200), passage("b" * 200, score=0.1))
    _, grounding = await answered(context=CONTEXT, max_tokens=1)
    assert grounding is not None
    assert (len(grounding.passages), grounding.found) == (2, 2)
    _, grounding = await answered(context=CONTEXT)
    assert grounding is not None
    assert (len(grounding.passages), grounding.found) == (0, 2)


@pytest.mark.parametrize(
    ("error", "param"),
    [
        (NotFound("no store"), "context.vector_store_ids"),
        (NotFound("no", param="filters.key"), "context.filters.key"),
    ],
)
async def test_a_search_that_fails_names_the_field(
    error: ServiceError, param: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching(monkeypatch, error=error)
    with pytest.raises(NotFound) as caught:
        await answered(context=CONTEXT)
    assert caught.value.param == param


def test_passages_and_citations_on_the_wire() -> None:
    assert used_context(None) is None
    used = used_context(Grounding(prompt=ChatPrompt([]), passages=[HIVES], found=3, tokens=9))
    hives = {"file_id": "file-hives", "filename": "hives.txt", "start": 0, "end": 10}
    assert converter.unstructure(used) == {
        "passages": [{**hives, "vector_store_id": "vs_1", "score": 0.5, "text": "Hives hum."}],
        "found": 3,
    }
    cited = file_citations([Cited(4, BEES), Cited(7, HIVES)])
    assert converter.unstructure(cited) == [
        {
            "type": "file_citation",
            "file_citation": {"index": 4, "file_id": "file-bees", "filename": "bees.md", "start": 10, "end": 21},
        },
        {"type": "file_citation", "file_citation": {"index": 7, **hives}},
    ]
    assert file_citations([]) is None
