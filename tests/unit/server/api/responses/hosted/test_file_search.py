"""`file_search`: the search before an answer, its item and events, the prompt, and later turns."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import Accepted, GenerationRequest, TextDelta, ToolCallDelta
from providers.echo.provider import EchoProvider
from providers.errors import InvalidRequest, NotFound
from providers.spec import ModelSpec
from tests.unit.server.api.grounding.passages import BEES, HIVES, passage, searching
from tests.unit.server.api.grounding.test_block import BLOCK
from tests.unit.server.api.responses.scripts import PATH, WEATHER, script, stream_events, types
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app

TOOL: dict[str, Any] = {"type": "file_search", "vector_store_ids": ["vs_1"]}
BODY: dict[str, Any] = {"model": "any", "input": "Why?", "tools": [TOOL]}
RESULTS = {"include": ["file_search_call.results"]}
CITING = script(TextDelta("Bees dance [1"), TextDelta("], hives hum [2]. [3]"))
BEES_RESULT = {
    "file_id": "file-bees",
    "filename": "bees.md",
    "score": 0.9,
    "text": "Bees dance.",
    "attributes": {},
    "vector_store_id": "vs_1",
    "start": 10,
    "end": 21,
}
SEARCHED = [
    "output_item.added",
    "file_search_call.in_progress",
    "file_search_call.searching",
    "file_search_call.completed",
    "output_item.done",
]
CITATIONS = [
    {"type": "file_citation", "index": 11, "file_id": "file-bees", "filename": "bees.md", "start": 10, "end": 21},
    {"type": "file_citation", "index": 26, "file_id": "file-hives", "filename": "hives.txt", "start": 0, "end": 10},
]


def contents(request: GenerationRequest) -> list[str]:
    return [message.content or "" for message in request.prompt.messages]  # type: ignore[union-attr]


async def test_the_server_searches_with_the_last_turn_and_the_prompt_holds_the_passages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, chat = searching(monkeypatch, BEES, HIVES), FakeChat(script=CITING)
    tool = {
        **TOOL,
        "max_num_results": 3,
        "filters": {"type": "eq", "key": "year", "value": 2020},
        "ranking_options": {"score_threshold": 0.2, "ranker": "auto"},
    }
    answer = await ask(make_app(chat), path=PATH, json={**BODY, "tools": [tool]})

    assert answer.status == 200
    (call,) = found.calls
    assert (call["stores"], call["queries"], call["max_results"]) == (["vs_1"], ["Why?"], 3)
    assert (call["filters"].key, call["score_threshold"]) == ("year", 0.2)
    (request,) = chat.requests
    assert contents(request) == [BLOCK]
    search, message = answer.json["output"]
    assert search == {
        "type": "file_search_call",
        "id": search["id"],
        "queries": ["Why?"],
        "status": "completed",
        "results": None,
        "found": 2,
        "used": 2,
    }
    assert search["id"].startswith("fs_")
    assert message["content"][0]["annotations"] == CITATIONS
    assert answer.json["usage"]["input_tokens_details"]["context_tokens"] == len(BLOCK) - len("Why?")
    assert answer.json["tools"][0]["max_num_results"] == 3
    assert "x-ignored-parameters" not in answer.headers


async def test_results_are_included_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, BEES, HIVES)
    app = make_app(FakeChat(script=CITING))
    answer = await ask(app, path=PATH, json={**BODY, **RESULTS})

    shown = answer.json["output"][0]["results"]
    assert shown[0] == BEES_RESULT
    assert shown[1]["attributes"] == {"year": 2020.0}
    stored = f"{PATH}/{answer.json['id']}"
    assert (await ask(app, "GET", f"{stored}?include=file_search_call.results")).json["output"][0]["results"] == shown
    assert (await ask(app, "GET", stored)).json["output"][0]["results"] is None


async def test_a_stream_reports_the_search_first_and_each_citation_after_its_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searching(monkeypatch, BEES, HIVES)
    answer = await ask(make_app(FakeChat(script=CITING)), path=PATH, json={**BODY, "stream": True})

    events = stream_events(answer)
    assert [name for name in types(events) if name != "output_text.delta"] == [
        *("created", "in_progress", *SEARCHED, "output_item.added", "content_part.added"),
        *("output_text.annotation.added", "output_text.annotation.added"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert types(events).index("output_text.annotation.added") > types(events).index("output_text.delta")
    added = [event for event in events if event["type"].endswith("annotation.added")]
    assert [event["annotation"] for event in added] == CITATIONS
    assert [(event["annotation_index"], event["output_index"]) for event in added] == [(0, 1), (1, 1)]
    assert events[0]["response"]["output"] == []
    assert events[2]["item"]["status"] == "in_progress"
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["file_search_call", "message"]
    assert events[-1]["response"]["output"][0] == events[6]["item"]
    assert events[-1]["response"]["output"][1]["content"][0]["annotations"] == CITATIONS


async def test_a_continued_turn_keeps_its_passages_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, BEES, HIVES)
    chat = FakeChat()
    app = make_app(chat)
    first = await ask(app, path=PATH, json=BODY)
    found = searching(monkeypatch, passage("Honey."))
    second = await ask(
        app, path=PATH, json={**BODY, "input": "And?", "previous_response_id": first.json["id"], **RESULTS}
    )
    third = await ask(app, path=PATH, json={"model": "any", "input": "So?", "previous_response_id": second.json["id"]})

    assert third.status == 200
    assert [call["queries"] for call in found.calls] == [["And?"]]
    one, two, three = map(contents, chat.requests)
    assert two[: len(one)] == one
    assert three[: len(two)] == two
    assert "Honey." in two[2]
    assert three[-1] == "So?"
    listed = await ask(app, "GET", f"{PATH}/{second.json['id']}/input_items?order=asc")
    assert [item["type"] for item in listed.json["data"]] == ["message", "file_search_call", "message", "message"]
    assert listed.json["data"][1]["results"] is None


@pytest.mark.parametrize("include", [{}, RESULTS])
async def test_a_client_that_sends_items_back_gets_the_same_prompt(
    include: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    searching(monkeypatch, BEES, HIVES)
    chat = FakeChat()
    app = make_app(chat)
    first = await ask(app, path=PATH, json={**BODY, **include})
    history = [{"role": "user", "content": "Why?"}, *first.json["output"], {"role": "user", "content": "So?"}]
    await ask(app, path=PATH, json={"model": "any", "input": history})

    assert contents(chat.requests[1]) == [BLOCK, "Hello", "So?"]


async def test_a_turn_that_has_its_passages_is_not_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = searching(monkeypatch, BEES, HIVES)
    call = (ToolCallDelta(0, id="call_1", name="get_weather"), ToolCallDelta(0, "{}"))
    chat = FakeChat(script=script(*call, reason="tool_calls"))
    app = make_app(chat)
    body = {**BODY, "tools": [TOOL, WEATHER]}
    first = await ask(app, path=PATH, json={**body, **RESULTS})
    output = {"type": "function_call_output", "call_id": "call_1", "output": "Sun"}
    chat.script = CITING
    again = await ask(app, path=PATH, json={**body, "input": [output], "previous_response_id": first.json["id"]})
    replayed = [{"role": "user", "content": "Why?"}, *first.json["output"], output]
    stateless = await ask(app, path=PATH, json={**body, "input": replayed, "store": False})

    assert len(found.calls) == 1
    for answer in (again, stateless):
        (message,) = answer.json["output"]
        assert message["content"][0]["annotations"] == CITATIONS
        assert "context_tokens" not in answer.json["usage"]["input_tokens_details"]
    assert chat.requests[1].prompt == chat.requests[2].prompt


@pytest.mark.parametrize(
    ("choice", "searched"),
    [
        ("none", False),
        ("auto", True),
        ({"type": "file_search"}, True),
        ({"type": "function", "name": "get_weather"}, False),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "file_search"}]}, True),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "file_search"}]}, True),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_weather"}]}, False),
    ],
)
async def test_the_choice_of_a_tool_decides(choice: Any, searched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found, chat = searching(monkeypatch, BEES), FakeChat()
    answer = await ask(make_app(chat), path=PATH, json={**BODY, "tools": [TOOL, WEATHER], "tool_choice": choice})

    assert answer.status == 200, answer.json
    assert bool(found.calls) == searched
    assert [item["type"] for item in answer.json["output"]] == ["file_search_call"] * searched + ["message"]


async def test_a_required_tool_is_the_search_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, BEES)
    app = make_app(FakeChat())
    assert (await ask(app, path=PATH, json={**BODY, "tool_choice": "required"})).status == 200
    refused = await ask(app, path=PATH, json={**BODY, "tools": [], "tool_choice": {"type": "file_search"}})
    assert (refused.status, refused.error["param"]) == (400, "tool_choice.type")


async def test_a_search_without_results_is_reported_and_changes_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch)
    chat = FakeChat(script=script())
    answer = await ask(make_app(chat), path=PATH, json={**BODY, **RESULTS})

    assert contents(chat.requests[0]) == ["Why?"]
    search, message = answer.json["output"]
    assert (search["results"], search["found"], search["used"]) == ([], 0, 0)
    assert message["content"][0]["text"] == "", "an answer without text is one with an empty text"


async def test_passages_without_room_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, passage("a" * 2000), passage("b" * 2000, score=0.1))
    chat = FakeChat()
    answer = await ask(make_app(chat), path=PATH, json={**BODY, **RESULTS})

    search = answer.json["output"][0]
    assert (search["found"], search["used"], len(search["results"])) == (2, 1, 1)
    assert "bbb" not in contents(chat.requests[0])[0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status"), [(NotFound("Vector store with id 'vs_1' not found."), 404), (InvalidRequest("no model"), 400)]
)
async def test_a_search_that_cannot_be_made_is_refused_with_its_field(
    error: InvalidRequest, status: int, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching(monkeypatch, error=error)
    chat = FakeChat()
    answer = await ask(make_app(chat), path=PATH, json={**BODY, "tools": [WEATHER, TOOL], "stream": stream})

    assert (answer.status, answer.error["param"]) == (status, "tools[1].vector_store_ids")
    assert chat.requests == []


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([TOOL, TOOL], "tools[1]"),
        ([{"type": "file_search"}], "tools[0].vector_store_ids"),
        ([{**TOOL, "vector_store_ids": []}], "tools[0].vector_store_ids"),
        ([{**TOOL, "max_num_results": 51}], "tools[0].max_num_results"),
        ([{**TOOL, "ranking_options": {"score_threshold": 2}}], "tools[0].ranking_options.score_threshold"),
    ],
)
async def test_invalid_values_are_named(tools: Any, param: str, monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, BEES)
    answer = await ask(make_app(FakeChat()), path=PATH, json={**BODY, "tools": tools})
    assert (answer.status, answer.error["param"]) == (400, param)


async def test_ranking_that_has_no_effect_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, BEES)
    options = {"hybrid_search": {"embedding_weight": 1, "text_weight": 0}, "ranker": "other"}
    answer = await ask(make_app(FakeChat()), path=PATH, json={**BODY, "tools": [{**TOOL, "ranking_options": options}]})
    assert answer.status == 200
    assert {*answer.headers["x-ignored-parameters"].split(", ")} == {
        "tools[0].ranking_options.ranker",
        "tools[0].ranking_options.hybrid_search",
    }


async def test_a_count_has_the_passages_of_the_answer_s_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, BEES, HIVES)
    counted = await ask(make_app(FakeChat()), path=f"{PATH}/input_tokens", json=BODY)
    assert counted.json["input_tokens"] == len(BLOCK)


async def test_a_spoken_answer_is_asked_for_no_marks_and_later_turns_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, BEES)
    chat, voice = FakeChat(), EchoProvider(ModelSpec(name="voice", path="", model_type="echo"))
    await voice.start()
    app = make_app(chat, voice)  # type: ignore[arg-type]
    spoken = {"model": chat.name, "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}
    first = await ask(app, path=PATH, json={**BODY, **spoken})
    assert first.status == 200, first.body
    await ask(app, path=PATH, json={"model": chat.name, "input": "So?", "previous_response_id": first.json["id"]})

    one, two = map(contents, chat.requests)
    assert "[1] bees.md" in one[0]
    assert "Cite" not in one[0]
    assert two[0] == one[0]

    events = types(stream_events(await ask(app, path=PATH, json={**BODY, **spoken, "stream": True})))
    assert events[2:7] == SEARCHED
    assert "audio.delta" in events


async def test_an_answer_that_fails_keeps_its_search(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: GenerationRequest) -> Any:
        yield Accepted(5, 3)
        raise InvalidRequest("too late")

    searching(monkeypatch, BEES)
    answer = await ask(make_app(FakeChat(script=broken)), path=PATH, json={**BODY, "stream": True})
    last = stream_events(answer)[-1]
    assert (last["type"], len(last["response"]["output"])) == ("response.failed", 1)
