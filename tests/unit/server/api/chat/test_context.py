"""`context` of a chat: passages in the prompt, in the answer, and cited by it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from msgspec import structs
from openai._models import construct_type
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from providers.chat.types import Accepted, GenerationEvent, GenerationRequest, TextDelta
from providers.errors import InvalidRequest, NotFound, ServiceError
from tests.unit.server.api.grounding.passages import BEES, HIVES, passage, searching
from tests.unit.server.api.grounding.test_block import BLOCK
from tests.unit.server.api.responses.scripts import script
from tests.unit.server.fakes import FINISHED, FakeChat
from tests.unit.server.harness import ask, make_app

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
BODY: dict[str, Any] = {"model": "any", "messages": MESSAGES, "context": {"vector_store_ids": ["vs_1"]}}
CITING = script(TextDelta("Bees dance [1"), TextDelta("]."))
PASSAGE = {
    "file_id": "file-bees",
    "filename": "bees.md",
    "vector_store_id": "vs_1",
    "score": 0.9,
    "start": 10,
    "end": 21,
    "text": "Bees dance.",
}
ANNOTATION = {
    "type": "file_citation",
    "file_citation": {"index": 11, "file_id": "file-bees", "filename": "bees.md", "start": 10, "end": 21},
}
TOKENS = len(BLOCK) - len("Why?")


async def test_the_prompt_holds_passages_and_the_answer_reports_and_cites_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found, chat = searching(monkeypatch, BEES, HIVES), FakeChat(script=CITING)
    context = {**BODY["context"], "max_results": 4, "score_threshold": 0.1}
    answer = await ask(make_app(chat), json={**BODY, "context": context})

    assert (found.calls[0]["queries"], found.calls[0]["max_results"]) == (["Why?"], 4)
    prompt: Any = chat.requests[0].prompt
    assert [message.content for message in prompt.messages] == ["Be brief.", BLOCK]
    body = answer.json
    assert body["choices"][0]["message"]["annotations"] == [ANNOTATION]
    assert (body["context"]["passages"][0], body["context"]["found"]) == (PASSAGE, 2)
    assert body["usage"]["prompt_tokens_details"]["context_tokens"] == TOKENS
    read: Any = construct_type(type_=ChatCompletion, value=body)
    assert read.choices[0].message.annotations[0].file_citation["index"] == 11


async def test_a_stream_has_passages_in_its_first_chunk_and_citations_in_its_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searching(monkeypatch, BEES, HIVES)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = (await ask(make_app(FakeChat(script=CITING)), json={**BODY, **options})).chunks

    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant"}
    assert chunks[0]["context"]["passages"][0] == PASSAGE
    assert all("context" not in chunk for chunk in chunks[1:])
    (finish,) = [chunk for chunk in chunks if chunk["choices"] and chunk["choices"][0]["finish_reason"]]
    assert finish["choices"][0]["delta"] == {"annotations": [ANNOTATION]}
    assert chunks[-1]["usage"]["prompt_tokens_details"]["context_tokens"] == TOKENS


@pytest.mark.parametrize("stream", [False, True])
async def test_without_context_nothing_changes(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found = searching(monkeypatch, BEES)
    body = {"model": "any", "messages": MESSAGES, "stream": stream}
    answer = await ask(make_app(FakeChat(script=CITING)), json=body)

    assert found.calls == []
    assert b"context" not in answer.body
    assert b"annotations" not in answer.body


async def test_every_answer_has_its_own_citations(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, BEES)

    async def two(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(5, 0)
        for index, text in enumerate(("Bees dance [1].", "No.")):
            yield TextDelta(text, index=index)
            yield structs.replace(FINISHED, index=index)

    answer = await ask(make_app(FakeChat(script=two)), json={**BODY, "n": 2})
    first, second = (choice["message"] for choice in answer.json["choices"])
    assert first["annotations"] == [ANNOTATION]
    assert "annotations" not in second


async def test_a_prompt_that_is_computed_ahead_is_the_prompt_of_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, BEES)
    chat = FakeChat()
    app = make_app(chat)
    await ask(app, json={**BODY, "prefill_only": True})
    await ask(app, json=BODY)
    assert chat.requests[0].prompt == chat.requests[1].prompt


async def test_a_long_turn_is_searched_with_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    found = searching(monkeypatch)
    await ask(make_app(FakeChat()), json={**BODY, "messages": [{"role": "user", "content": "a" * 5000}]})
    assert found.calls[0]["queries"] == ["a" * 4096]


async def test_passages_without_room_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, passage("a" * 2000), passage("b" * 2000, score=0.1))
    answer = await ask(make_app(FakeChat()), json=BODY)
    assert (len(answer.json["context"]["passages"]), answer.json["context"]["found"]) == (1, 2)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("error", "status"), [(NotFound("no store"), 404), (InvalidRequest("no model"), 400)])
async def test_a_search_that_cannot_be_made_is_refused_with_its_field(
    error: ServiceError, status: int, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching(monkeypatch, error=error)
    answer = await ask(make_app(FakeChat()), json={**BODY, "stream": stream})
    assert (answer.status, answer.error["param"]) == (status, "context.vector_store_ids")


@pytest.mark.parametrize(
    ("context", "param"),
    [
        ({}, "context.vector_store_ids"),
        ({"vector_store_ids": []}, "context.vector_store_ids"),
        ({"vector_store_ids": ["vs_1"], "max_results": 0}, "context.max_results"),
        ({"vector_store_ids": ["vs_1"], "score_threshold": -1}, "context.score_threshold"),
    ],
)
async def test_invalid_values_are_named(context: Any, param: str) -> None:
    answer = await ask(make_app(FakeChat()), json={**BODY, "context": context})
    assert (answer.status, answer.error["param"]) == (400, param)
