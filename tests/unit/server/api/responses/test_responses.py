"""Whole responses: shape, refusals, and counts of input tokens."""

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
    SamplingParams,
    TextDelta,
    TokenLogprob,
)
from providers.errors import ContextLengthExceeded, EngineCrashed, QueueFull
from tests.unit.server.api.responses.scripts import AGENT, BODY, PATH, WEATHER, script, stream_events
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app


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
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "truncation": "disabled",
        "user": None,
        "request_id": "abc",
    }


async def test_numbers_that_a_request_leaves_open_are_the_model_s() -> None:
    chat = FakeChat(sampling=SamplingParams(temperature=0.6, top_p=0.95, presence_penalty=0.5))
    names = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
    assert [(await created(chat))[name] for name in names] == [0.6, 0.95, 0.5, 0.0]
    streamed = stream_events(await ask(make_app(chat), path=PATH, json={**BODY, "stream": True, "temperature": 0}))
    assert [streamed[0]["response"][name] for name in names] == [0.0, 0.95, 0.5, 0.0]


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
        "presence_penalty": 1.5,
        "frequency_penalty": -0.5,
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
