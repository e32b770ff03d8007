"""A whole response: its shape, its storage and its continuation."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from openai.types.responses import Response

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    GenerationEvent,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
)
from providers.errors import ContextLengthExceeded, EngineCrashed, QueueFull
from tests.unit.server.api.responses.scripts import AGENT, BODY, PATH, WEATHER, script
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app, serving


async def created(chat: FakeChat | None = None, **fields: Any) -> dict[str, Any]:
    answer = await ask(make_app(chat or FakeChat()), path=PATH, json={**BODY, **fields})
    assert answer.status == 200, answer.body
    Response.model_validate(answer.json)
    body: dict[str, Any] = answer.json
    return body


async def test_a_whole_response_has_openai_s_shape_and_the_request_id() -> None:
    answer = await ask(make_app(), path=PATH, json=BODY, headers={"x-request-id": "abc"})

    body = answer.json
    assert answer.status == 200
    id = body.pop("id")
    assert id.startswith("resp_")
    assert body.pop("created_at") <= body.pop("completed_at")
    (item,) = body.pop("output")
    assert item.pop("id").startswith("msg_")
    assert item == {
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
    }
    assert body == {
        "object": "response",
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": "org/fake",
        "usage": {
            "input_tokens": 5,
            "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 7,
        },
        "instructions": None,
        "previous_response_id": None,
        "store": True,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "temperature": None,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": None,
        "truncation": "disabled",
        "user": None,
        "request_id": "abc",
    }


async def test_the_request_s_values_are_repeated() -> None:
    asked = {
        "instructions": "Be brief.",
        "max_output_tokens": 9,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": "s",
        "temperature": 0.5,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "medium"},
        "tool_choice": {"type": "function", "name": "get_weather"},
        "tools": [WEATHER],
        "top_p": 0.25,
        "user": "u",
        "store": False,
    }
    body = await created(**asked)
    assert {name: body[name] for name in asked} == asked


async def test_reasoning_text_and_calls_are_items_in_order() -> None:
    body = await created(FakeChat(script=script(*AGENT, reason="tool_calls")), tools=[WEATHER])

    thought, message, call = body["output"]
    assert body["status"] == "completed"
    assert (thought["type"], thought["summary"]) == ("reasoning", [])
    assert thought["content"] == [{"type": "reasoning_text", "text": "Which city?"}]
    assert message["content"][0]["text"] == "Let me look."
    assert (call["call_id"], call["name"]) == ("call_1", "get_weather")
    assert (call["arguments"], call["status"]) == ('{"city": "Paris"}', "completed")
    assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": 1}
    assert len({item["id"] for item in body["output"]}) == 3


async def test_a_truncated_response_is_incomplete() -> None:
    body = await created(FakeChat(script=script(TextDelta("One"), reason="length")), max_output_tokens=1)

    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert body["completed_at"] is None
    assert body["output"][0]["status"] == "incomplete"


async def test_an_answer_without_output_is_an_empty_text() -> None:
    (item,) = (await created(FakeChat(script=script())))["output"]
    assert item["content"][0]["text"] == ""


@pytest.mark.parametrize(
    ("asked", "top", "number"),
    [({"top_logprobs": 1}, [(" Hi", b" Hi", -0.5)], 1), ({"include": ["message.output_text.logprobs"]}, [], 0)],
)
async def test_log_probabilities_come_where_they_are_requested(
    asked: dict[str, Any], top: list[tuple[str, bytes, float]], number: int
) -> None:
    chat = FakeChat(script=script(TextDelta("é", logprobs=[TokenLogprob("é", "é".encode(), -0.25, top)])))

    body = await created(chat, **asked)

    assert chat.requests[0].top_logprobs == number
    assert body["output"][0]["content"][0]["logprobs"] == [
        {
            "token": "é",
            "logprob": -0.25,
            "bytes": [0xC3, 0xA9],
            "top_logprobs": [{"token": " Hi", "logprob": -0.5, "bytes": [32, 72, 105]}][:number],
        }
    ]


async def test_encrypted_reasoning_can_be_sent_back() -> None:
    chat = FakeChat(script=script(ReasoningDelta("Hm."), TextDelta("Yes.")))
    app = make_app(chat)
    body = {**BODY, "include": ["reasoning.encrypted_content"], "store": False}
    thought, message = (await ask(app, path=PATH, json=body)).json["output"]
    unread = {
        "type": "reasoning",
        "id": thought["id"],
        "summary": [],
        "encrypted_content": thought["encrypted_content"],
    }

    again = {**BODY, "input": [unread, message, {"role": "user", "content": "Why?"}]}
    assert (await ask(app, path=PATH, json=again)).status == 200

    turns = chat.requests[1].prompt.messages  # type: ignore[union-attr]
    assert (turns[0].reasoning_content, turns[0].content) == ("Hm.", "Yes.")
    assert (await ask(app, path=PATH, json=BODY)).json["output"][0]["encrypted_content"] is None


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (QueueFull("full"), 429, "queue_full"),
        (EngineCrashed("dead"), 503, "engine_crashed"),
        (ZeroDivisionError("secret"), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_keeps_its_status(error: Exception, status: int, code: str, stream: bool) -> None:
    async def refuse(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        raise error
        yield

    answer = await ask(make_app(FakeChat(script=refuse)), path=PATH, json={**BODY, "stream": stream})
    assert (answer.status, answer.error["code"]) == (status, code)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("messages", "input"),
        ("max_tokens", "max_output_tokens"),
        ("tools[1].function.parameters", "tools[1].parameters"),
        ("seed", "seed"),
        (None, None),
    ],
)
async def test_a_refusal_names_the_parameter_as_this_endpoint_does(theirs: str | None, ours: str | None) -> None:
    async def refuse(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        raise ContextLengthExceeded("5000 tokens", param=theirs)
        yield

    answer = await ask(make_app(FakeChat(script=refuse)), path=PATH, json=BODY)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "context_length_exceeded", ours)


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


async def test_input_tokens_are_those_of_the_whole_conversation() -> None:
    chat = FakeChat()
    app = make_app(chat)
    first = (await ask(app, path=PATH, json=BODY)).json
    body = {"model": "any", "input": "More?", "previous_response_id": first["id"], "instructions": "Be brief."}

    answer = await ask(app, path=f"{PATH}/input_tokens", json=body)

    turns = ["Be brief.", "Hi", "Hello", "More?"]
    assert answer.status == 200
    assert answer.json["object"] == "response.input_tokens"
    assert answer.json["input_tokens"] == len(await chat.tokenize(prompt_of(turns)))
    hosted = await ask(app, path=f"{PATH}/input_tokens", json={**body, "tools": [{"type": "web_search"}]})
    assert (hosted.json, hosted.headers["x-ignored-parameters"]) == (answer.json, "tools[0].web_search")


def prompt_of(turns: list[str]) -> ChatPrompt:
    roles = ("system", "user", "assistant", "user")
    return ChatPrompt(messages=[ChatMessage(role=role, content=text) for role, text in zip(roles, turns, strict=True)])


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
