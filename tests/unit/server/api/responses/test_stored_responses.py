"""Stored responses: retrieval, deletion, continuation, input items, and the file of the store."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.server.api.responses.scripts import AGENT, BODY, PATH, WEATHER, script
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app, serving


async def test_a_stored_response_is_fetched_listed_and_deleted() -> None:
    app = make_app(FakeChat(script=script(*AGENT)))
    body = (await ask(app, path=PATH, json={**BODY, "tools": [WEATHER]})).json
    one = f"{PATH}/{body['id']}"

    assert (await ask(app, "GET", one)).json == body
    assert (await ask(app, "GET", f"{one}/input_items")).json["data"][0]["content"] == [
        {"type": "input_text", "text": "Hi"}
    ]
    deleted = await ask(app, "DELETE", one)
    assert (deleted.status, deleted.json) == (200, {"id": body["id"], "object": "response", "deleted": True})
    for method, path in (("GET", one), ("DELETE", one), ("GET", f"{one}/input_items"), ("POST", f"{one}/cancel")):
        gone = await ask(app, method, path)
        assert (gone.status, gone.error["code"]) == (404, "not_found")
        assert gone.error["message"] == f"Response with id '{body['id']}' not found."


async def test_a_response_that_is_not_to_be_stored_is_not() -> None:
    app = make_app()
    body = (await ask(app, path=PATH, json={**BODY, "store": False})).json

    assert (await ask(app, "GET", f"{PATH}/{body['id']}")).status == 404
    refused = await ask(app, path=PATH, json={**BODY, "previous_response_id": body["id"]})
    assert (refused.status, refused.error["code"]) == (404, "previous_response_not_found")
    assert refused.error["param"] == "previous_response_id"
    assert refused.error["message"] == f"Previous response with id '{body['id']}' not found."


async def test_no_response_can_be_cancelled() -> None:
    app = make_app()
    body = (await ask(app, path=PATH, json=BODY)).json

    refused = await ask(app, "POST", f"{PATH}/{body['id']}/cancel")

    assert (refused.status, refused.error["code"]) == (400, "invalid_request_error")
    assert "synchronous" in refused.error["message"]


async def test_a_conversation_is_continued_without_its_instructions() -> None:
    chat = FakeChat()
    app = make_app(chat)
    first = (await ask(app, path=PATH, json={**BODY, "instructions": "Be brief."})).json
    second = await ask(
        app,
        path=PATH,
        json={**BODY, "input": "And now?", "previous_response_id": first["id"], "instructions": "Rhyme."},
    )
    third = await ask(app, path=PATH, json={**BODY, "input": "Why?", "previous_response_id": second.json["id"]})

    assert third.json["previous_response_id"] == second.json["id"]
    turns = [[(turn.role, turn.content) for turn in request.prompt.messages] for request in chat.requests]  # type: ignore[union-attr]
    opening = [("user", "Hi"), ("assistant", "Hello")]
    assert turns[1] == [("system", "Rhyme."), *opening, ("user", "And now?")]
    assert turns[2] == [*opening, ("user", "And now?"), ("assistant", "Hello"), ("user", "Why?")]


async def test_a_call_is_answered_by_the_next_request() -> None:
    chat = FakeChat(script=script(*AGENT, reason="tool_calls"))
    app = make_app(chat)
    first = (await ask(app, path=PATH, json={**BODY, "tools": [WEATHER]})).json
    output = {"type": "function_call_output", "call_id": "call_1", "output": "18 degrees"}

    answer = await ask(
        app, path=PATH, json={**BODY, "previous_response_id": first["id"], "input": [output], "tools": [WEATHER]}
    )

    assert answer.status == 200
    _, call, result = chat.requests[1].prompt.messages  # type: ignore[union-attr]
    assert (call.content, call.reasoning_content) == ("Let me look.", "Which city?")
    assert call.tool_calls == [
        {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    ]
    assert (result.role, result.content, result.tool_call_id) == ("tool", "18 degrees", "call_1")


async def test_a_truncated_call_does_not_prevent_continuing() -> None:
    chat = FakeChat(script=script(*AGENT[:-1], reason="length"))
    app = make_app(chat)
    first = (await ask(app, path=PATH, json=BODY)).json
    assert first["output"][-1]["status"] == "incomplete"

    answer = await ask(app, path=PATH, json={**BODY, "previous_response_id": first["id"]})

    assert answer.status == 200
    assert all(turn.tool_calls is None for turn in chat.requests[1].prompt.messages)  # type: ignore[union-attr]


async def test_an_item_may_be_referred_to() -> None:
    chat = FakeChat()
    app = make_app(chat)
    (message,) = (await ask(app, path=PATH, json=BODY)).json["output"]
    reference = {"type": "item_reference", "id": message["id"]}

    assert (await ask(app, path=PATH, json={**BODY, "input": [reference]})).status == 200

    assert [(turn.role, turn.content) for turn in chat.requests[1].prompt.messages] == [("assistant", "Hello")]  # type: ignore[union-attr]
    unknown = await ask(app, path=PATH, json={**BODY, "input": [{"type": "item_reference", "id": "msg_no"}]})
    assert (unknown.status, unknown.error["param"]) == (404, "input")
    assert "msg_no" in unknown.error["message"]


@pytest.fixture
async def listed() -> tuple[Any, str, list[str]]:
    """An application, the path of a continued response's input, and its items' texts, the oldest first."""
    app = make_app()
    first = (await ask(app, path=PATH, json=BODY)).json
    turns = [{"role": "user", "content": text} for text in ("a", "b", "c")]
    second = (await ask(app, path=PATH, json={**BODY, "input": turns, "previous_response_id": first["id"]})).json
    return app, f"{PATH}/{second['id']}/input_items", ["Hi", "Hello", "a", "b", "c"]


def texts(answer: Any) -> list[str]:
    assert answer.status == 200, answer.body
    return [item["content"][0]["text"] for item in answer.json["data"]]


async def test_input_items_are_the_whole_conversation_newest_first(listed: tuple[Any, str, list[str]]) -> None:
    app, path, expected = listed
    assert texts(await ask(app, "GET", path)) == expected[::-1]
    assert texts(await ask(app, "GET", f"{path}?order=asc")) == expected


async def test_input_items_come_in_pages(listed: tuple[Any, str, list[str]]) -> None:
    app, path, expected = listed
    seen: list[str] = []
    after = ""
    while True:
        answer = await ask(app, "GET", f"{path}?limit=2&order=asc{after}")
        seen += texts(answer)
        page = answer.json
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert seen == expected

    empty = (await ask(app, "GET", f"{path}?order=asc&after={page['last_id']}")).json
    assert (empty["data"], empty["first_id"], empty["has_more"]) == ([], None, False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("order=up", "order"),
        ("after=msg_no", "after"),
    ],
)
async def test_an_invalid_page_is_refused(listed: tuple[Any, str, list[str]], query: str, param: str) -> None:
    app, path, _ = listed
    answer = await ask(app, "GET", f"{path}?{query}")
    assert (answer.status, answer.error["param"]) == (400, param)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("stream=true", "stream"),
        ("starting_after=5", "starting_after"),
        ("include_obfuscation=1", "include_obfuscation"),
    ],
)
async def test_a_stored_response_is_not_streamed(query: str, param: str) -> None:
    app = make_app()
    id = (await ask(app, path=PATH, json=BODY)).json["id"]

    answer = await ask(app, "GET", f"{PATH}/{id}?{query}")

    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "unsupported_parameter", param)
    assert (await ask(app, "GET", f"{PATH}/{id}?stream=false&include=reasoning.encrypted_content")).status == 200


async def test_a_store_that_is_a_file_outlives_the_application(tmp_path: Any) -> None:
    settings = {"response_store": str(tmp_path / "responses.db")}
    async with serving(make_app(**settings)) as app:
        id = (await ask(app, path=PATH, json=BODY)).json["id"]
    async with serving(make_app(**settings)) as app:
        assert (await ask(app, "GET", f"{PATH}/{id}")).json["id"] == id
    assert (tmp_path / "responses.db").stat().st_mode & 0o077 == 0


async def test_a_store_that_cannot_be_opened_is_reported_at_the_start(tmp_path: Any) -> None:
    problem = pytest.RaisesExc(OSError, match="the response store .* cannot be opened")
    with pytest.RaisesGroup(problem, flatten_subgroups=True):
        async with serving(make_app(response_store=str(tmp_path))):
            pass
