"""Anthropic's Messages API: what a client sends reaches the model, and what it reads is Anthropic's schema."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from providers.chat.types import (
    Accepted,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
)
from providers.errors import EngineCrashed, QueueFull
from tests.unit.server.api.messages.asking import BODY, PATH, READ, asked_with, events
from tests.unit.server.api.responses.scripts import AGENT, script
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import Exchange, ask, make_app


async def test_a_message_has_every_block_of_the_answer_in_order() -> None:
    answer = await asked_with(FakeChat(script=script(*AGENT, reason="tool_calls")), tools=[READ])

    assert [block["type"] for block in answer.json["content"]] == ["thinking", "text", "tool_use"]
    thinking, text, call = answer.json["content"]
    assert (thinking["thinking"], text["text"]) == ("Which city?", "Let me look.")
    assert thinking["signature"]
    assert call == {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Paris"}}
    assert answer.json["stop_reason"] == "tool_use"
    assert answer.json["stop_sequence"] is None
    assert answer.json["usage"] == {
        "input_tokens": 2,
        "output_tokens": 2,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 3,
    }
    assert (answer.json["type"], answer.json["role"], answer.json["model"]) == ("message", "assistant", "org/fake")
    assert answer.headers["request-id"] == answer.headers["x-request-id"] == answer.json["request_id"]


@pytest.mark.parametrize(
    ("reason", "expected"), [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use")]
)
async def test_the_finish_reason_becomes_the_stop_reason(reason: FinishReason, expected: str) -> None:
    answer = await asked_with(FakeChat(script=script(TextDelta("Hi"), reason=reason)))
    assert answer.json["stop_reason"] == expected


async def test_a_stop_sequence_that_ended_the_answer_is_named() -> None:
    ended = script(TextDelta("Hi"), stop="END")
    whole = await asked_with(FakeChat(script=ended), stop_sequences=["END"])
    assert (whole.json["stop_reason"], whole.json["stop_sequence"]) == ("stop_sequence", "END")
    streamed = await asked_with(FakeChat(script=ended), stop_sequences=["END"], stream=True)
    assert events(streamed)[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


async def test_a_stream_has_anthropic_s_events_in_anthropic_s_order() -> None:
    answer = await asked_with(FakeChat(script=script(*AGENT, reason="tool_calls")), stream=True, tools=[READ])

    read = events(answer)
    assert [event["type"] for event in read] == [
        *("message_start", "ping"),
        *("content_block_start", *["content_block_delta"] * 3, "content_block_stop"),
        *("content_block_start", *["content_block_delta"] * 2, "content_block_stop"),
        *("content_block_start", *["content_block_delta"] * 2, "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    started = [event["content_block"]["type"] for event in read if event["type"] == "content_block_start"]
    assert started == ["thinking", "text", "tool_use"]
    deltas = [event["delta"]["type"] for event in read if event["type"] == "content_block_delta"]
    assert deltas == [
        *("thinking_delta", "thinking_delta", "signature_delta"),
        *("text_delta", "text_delta"),
        *("input_json_delta", "input_json_delta"),
    ]
    assert [event["index"] for event in read if event["type"] == "content_block_stop"] == [0, 1, 2]
    assert read[0]["message"]["usage"]["cache_read_input_tokens"] == 3
    assert read[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert read[-2]["usage"]["output_tokens"] == 2


async def test_an_answer_without_content_is_still_a_whole_stream() -> None:
    answer = await asked_with(FakeChat(script=script()), stream=True)
    assert [event["type"] for event in events(answer)] == ["message_start", "ping", "message_delta", "message_stop"]


async def test_a_failure_in_the_stream_is_an_error_event() -> None:
    async def dies(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(5, 3)
        yield TextDelta("Hel")
        raise EngineCrashed("the engine died")

    answer = await asked_with(FakeChat(script=dies), stream=True)

    last = events(answer)[-1]
    assert last["type"] == "error"
    assert last["error"]["type"] == "overloaded_error"
    assert "the engine died" in last["error"]["message"]
    assert last["request_id"] == answer.headers["request-id"]


def error(exchange: Exchange) -> dict[str, Any]:
    body = exchange.json
    assert body["type"] == "error"
    assert body["request_id"] == exchange.headers["request-id"]
    found: dict[str, Any] = body["error"]
    return found


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
        ({"temperature": 7}, "temperature"),
        ({"stop_sequences": ["ok", "x" * 1025]}, "stop_sequences[1]"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [READ], "tool_choice": {"type": "tool", "name": "Write"}}, "tool_choice.name"),
        ({"tools": [READ, {**READ, "description": "Other"}]}, "tools[1].name"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": "Hm"}]}]},
            "messages[0].content[0].type",
        ),
    ],
)
async def test_a_refused_value_is_named_by_its_path(fields: dict[str, Any], param: str) -> None:
    answer = await asked_with(FakeChat(), **fields)
    assert answer.status == 400
    assert (error(answer)["type"], error(answer)["param"]) == ("invalid_request_error", param)


async def test_errors_of_the_transport_have_anthropic_s_shape_too() -> None:
    app = make_app(FakeChat())
    assert error(await ask(app, path=PATH, content=b"{"))["type"] == "invalid_request_error"
    wrong = await ask(app, path=PATH, json=BODY, headers={"content-type": "text/plain"})
    assert (wrong.status, error(wrong)["type"]) == (415, "invalid_request_error")


async def test_a_full_queue_is_a_rate_limit() -> None:
    async def full(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        raise QueueFull("too many requests wait", retry_after=3)
        yield

    answer = await asked_with(FakeChat(script=full))
    assert answer.status == 429
    assert error(answer)["type"] == "rate_limit_error"
    assert answer.headers["retry-after"] == "3"


async def test_a_key_that_is_missing_is_an_authentication_error() -> None:
    answer = await ask(make_app(FakeChat(), api_key="secret"), path=PATH, json=BODY)
    assert (answer.status, error(answer)["type"]) == (401, "authentication_error")
