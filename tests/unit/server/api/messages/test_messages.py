"""Anthropic's Messages API: what a client sends reaches the model, and what it reads is Anthropic's schema."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from providers.chat.types import (
    Accepted,
    ChatMessage,
    ChatPrompt,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    JsonSchemaGrammar,
    TextDelta,
    Tool,
    ToolChoice,
)
from providers.errors import EngineCrashed, QueueFull
from tests.unit.server.api.responses.scripts import AGENT, script
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import Exchange, ask, make_app

PATH = "/v1/messages"
BODY: dict[str, Any] = {"model": "claude", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
READ = {"name": "Read", "description": "Read a file", "input_schema": SCHEMA}


async def translate(**fields: Any) -> GenerationRequest:
    chat = FakeChat()
    answer = await ask(make_app(chat), path=PATH, json={**BODY, **fields})
    assert answer.status == 200, answer.body
    (request,) = chat.requests
    return request


async def prompt(**fields: Any) -> ChatPrompt:
    asked = (await translate(**fields)).prompt
    assert isinstance(asked, ChatPrompt)
    return asked


async def asked_with(answer: FakeChat, **fields: Any) -> Exchange:
    return await ask(make_app(answer), path=PATH, json={**BODY, **fields})


def events(exchange: Exchange) -> list[dict[str, Any]]:
    """The events, each under its own name."""
    read = []
    for block in exchange.body.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        read.append(event)
    return read


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


async def test_sampling_and_bounds_reach_the_engine() -> None:
    request = await translate(temperature=0.5, top_p=0.9, top_k=40, stop_sequences=["END", "", "END"])
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.top_k) == (0.5, 0.9, 40)
    assert request.stop == ["END"]
    assert request.max_tokens == 64


@pytest.mark.parametrize(
    ("thinking", "enabled", "budget"),
    [
        (None, False, None),
        ({"type": "disabled"}, False, None),
        ({"type": "adaptive"}, True, None),
        ({"type": "enabled", "budget_tokens": 2048}, True, 2048),
    ],
)
async def test_thinking_is_off_by_default(thinking: Any, enabled: bool, budget: int | None) -> None:
    request = await translate(thinking=thinking)
    assert isinstance(request.prompt, ChatPrompt)
    assert request.prompt.template_kwargs["enable_thinking"] is enabled
    assert request.max_reasoning_tokens == budget


async def test_a_schema_holds_the_text() -> None:
    request = await translate(output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    assert request.grammar == JsonSchemaGrammar(SCHEMA, strict=False)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice("auto", parallel=False)),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "tool", "name": "Read"}, ToolChoice("required", "Read")),
        ({"type": "none"}, ToolChoice("none")),
    ],
)
async def test_every_choice_among_tools_reaches_the_engine(choice: Any, expected: ToolChoice) -> None:
    asked = await prompt(tools=[READ], tool_choice=choice)
    assert asked.tools == [Tool("Read", "Read a file", SCHEMA)]
    assert asked.tool_choice == expected


async def test_a_conversation_of_an_agent_becomes_turns_of_a_template() -> None:
    asked = await prompt(
        system=[{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}],
        tools=[READ],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Read a.txt"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "A file.", "signature": ""},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "Reading."},
                    {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a.txt"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "hello"}]},
                    {"type": "tool_result", "tool_use_id": "toolu_2", "content": "gone", "is_error": True},
                    {"type": "tool_result", "tool_use_id": "toolu_3"},
                    {"type": "text", "text": "Now summarise."},
                ],
            },
            {"role": "system", "content": "Be brief."},
        ],
    )

    call = {"id": "toolu_1", "type": "function", "function": {"name": "Read", "arguments": {"path": "a.txt"}}}
    assert asked.messages == [
        ChatMessage("system", "You are an agent."),
        ChatMessage("user", "Read a.txt"),
        ChatMessage("assistant", "Reading.", tool_calls=[call], reasoning_content="A file."),
        ChatMessage("tool", "hello", name="Read", tool_call_id="toolu_1"),
        ChatMessage("tool", "Error: gone", tool_call_id="toolu_2"),
        ChatMessage("tool", "", tool_call_id="toolu_3"),
        ChatMessage("user", "Now summarise."),
        ChatMessage("system", "Be brief."),
    ]


async def test_documents_of_text_are_read() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "The sea is salt."}
    asked = await prompt(
        messages=[{"role": "user", "content": [{"type": "document", "title": "Sea", "source": source}]}]
    )
    assert asked.messages == [ChatMessage("user", "Sea\nThe sea is salt.")]


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF = {"type": "document", "title": "Sea", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"}}


def returned(*content: dict[str, Any]) -> list[dict[str, Any]]:
    """A conversation in which a tool returned this."""
    used = {"type": "tool_use", "id": "t1", "name": "Read", "input": {}}
    return [
        *BODY["messages"],
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [*content]}]},
    ]


async def test_of_a_tool_s_result_the_model_reads_what_it_can() -> None:
    chat = FakeChat()
    answer = await asked_with(chat, messages=returned({"type": "text", "text": "Here:"}, IMAGE, PDF))
    assert answer.status == 200
    asked = chat.requests[0].prompt
    assert isinstance(asked, ChatPrompt)
    assert asked.messages[-1].content == "Here:\n[image]\nSea\n[file]"
    noted = "messages[].content[].content[].image, messages[].content[].content[].document"
    assert answer.headers["x-ignored-parameters"] == noted


async def test_of_tools_that_the_client_found_the_model_reads_the_names() -> None:
    found = [{"type": "tool_reference", "tool_name": name} for name in ("WebFetch", "WebSearch")]
    chat = FakeChat()
    answer = await asked_with(chat, messages=returned(*found))
    assert answer.status == 200
    assert "x-ignored-parameters" not in answer.headers
    asked = chat.requests[0].prompt
    assert isinstance(asked, ChatPrompt)
    assert asked.messages[-1].content == "WebFetch\nWebSearch"


@pytest.mark.parametrize(
    ("given", "expected"), [(None, {}), ("", {}), ("null", {}), ('{"a": 1}', {"a": 1}), ({"a": 1}, {"a": 1})]
)
async def test_the_input_of_a_replayed_call_may_be_missing_or_text(given: Any, expected: dict[str, Any]) -> None:
    used = {"type": "tool_use", "id": "t1", "name": "Read", "input": given}
    asked = await prompt(messages=[*BODY["messages"], {"role": "assistant", "content": [used]}])
    (call,) = asked.messages[-1].tool_calls or ()
    assert call["function"]["arguments"] == expected


async def test_a_conversation_of_later_apis_is_read() -> None:
    asked = await prompt(
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "telepathy", "thought": {}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": None}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "telepathy"}]}]},
        ],
        tools=[READ, READ, {"type": "mcp_toolset", "mcp_server_name": "x"}],
    )
    assert asked.messages == [
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "a"),
        ChatMessage("assistant", "b"),
        ChatMessage("tool", "", tool_call_id=""),
    ]
    assert [tool.name for tool in asked.tools] == ["Read"]


@pytest.mark.parametrize(
    ("fields", "kwargs", "budget"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, {"enable_thinking": True}, 0),
        ({"thinking": {"type": "auto", "budget_tokens": -1}}, {"enable_thinking": True}, None),
        ({"output_config": {"effort": "minimal"}}, {"enable_thinking": False, "reasoning_effort": "minimal"}, None),
        ({"output_config": {"effort": "auto"}}, {"enable_thinking": False}, None),
    ],
)
async def test_reasoning_as_other_apis_spell_it(
    fields: dict[str, Any], kwargs: dict[str, Any], budget: int | None
) -> None:
    request = await translate(**fields)
    assert isinstance(request.prompt, ChatPrompt)
    assert (request.prompt.template_kwargs, request.max_reasoning_tokens) == (kwargs, budget)


async def test_extensions_of_the_other_endpoints_work_here_too() -> None:
    request = await translate(seed=7, min_p=0.1, repetition_penalty=1.1, timeout=5, stop="END", max_tokens=-1)
    sampling = request.sampling
    assert (sampling.seed, sampling.min_p, sampling.repetition_penalty, request.timeout) == (7, 0.1, 1.1, 5)
    assert (request.stop, request.max_tokens) == (["END"], None)


@pytest.mark.parametrize(
    ("fields", "header"),
    [
        ({"cache_control": {"type": "ephemeral"}}, "cache_control"),
        ({"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}, "system[].cache_control"),
        ({"tools": [{**READ, "cache_control": {"type": "ephemeral"}}]}, "tools[].cache_control"),
        (
            {"messages": returned({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}})},
            "messages[].content[].content[].cache_control",
        ),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, "thinking.display"),
        ({"mcp_servers": [{"type": "url", "url": "x", "name": "x"}]}, "mcp_servers"),
        (
            {
                "messages": [
                    {"role": "user", "content": "x"},
                    {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s", "name": "web_search"}]},
                    {"role": "user", "content": "y"},
                ]
            },
            "messages[].content[].server_tool_use",
        ),
        ({"mcp_servers": [], "context_management": {}}, None),
    ],
)
@pytest.mark.parametrize("path", [PATH, f"{PATH}/count_tokens"])
async def test_what_has_no_effect_is_named_at_any_depth(path: str, fields: dict[str, Any], header: str | None) -> None:
    answer = await ask(make_app(FakeChat()), path=path, json={**BODY, **fields})
    named = {*answer.headers.get("x-ignored-parameters", "").split(", ")} - {"", "max_tokens"}  # no field of a count
    assert answer.status == 200
    assert named == ({header} if header else set())


async def test_parameters_without_effect_are_named_in_a_header() -> None:
    answer = await asked_with(
        FakeChat(),
        metadata={"user_id": "u"},
        service_tier="auto",
        tools=[READ, {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}],
    )
    assert answer.status == 200
    assert (
        answer.headers["x-ignored-parameters"]
        == "tools[].max_uses, metadata, service_tier, tools[1].web_search_20250305"
    )


async def test_an_ordinary_request_has_no_such_header() -> None:
    assert "x-ignored-parameters" not in (await asked_with(FakeChat())).headers


@pytest.mark.parametrize("path", [f"{PATH}/count_tokens", f"{PATH}/count_tokens?beta=true"])
async def test_tokens_are_counted_with_the_tools(path: str) -> None:
    chat = FakeChat()
    body = {"model": "claude", "messages": BODY["messages"], "tools": [READ]}
    answer = await ask(make_app(chat), path=path, json=body)
    assert answer.json == {"input_tokens": 2}
    ((counted, _),) = chat.tokenized
    assert isinstance(counted, ChatPrompt)
    assert [tool.name for tool in counted.tools] == ["Read"]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({"role": "assistant", "content": "{"}, True),
        ({"role": "assistant", "content": [{"type": "text", "text": "{"}]}, True),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Read", "input": {}}]}, False),
        ({"role": "user", "content": "Go on"}, False),
    ],
)
async def test_a_last_turn_of_the_assistant_is_continued(last: dict[str, Any], expected: bool) -> None:
    asked = await prompt(messages=[*BODY["messages"], last])
    assert asked.continue_final is expected
