"""Anthropic's Messages API: what a client sends reaches the model."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    JsonSchemaGrammar,
    Tool,
    ToolChoice,
)
from tests.unit.server.api.messages.asking import BODY, PATH, READ, SCHEMA, asked_with, prompt, translate
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app


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


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"type": "content", "content": "The sea is salt."}, "The sea is salt."),
        (
            {"type": "content", "content": [{"type": "text", "text": "The sea"}, {"text": "is salt."}]},
            "The sea\nis salt.",
        ),
        ({"type": "content", "content": [{"type": "image"}, "stray", {"type": "text", "text": "end"}]}, "\nend"),
        ({"type": "content", "content": []}, ""),
    ],
)
async def test_documents_of_parts_are_read(source: dict[str, Any], text: str) -> None:
    document = {"type": "document", "title": "Sea", "context": "A book", "source": source}
    asked = await prompt(messages=[{"role": "user", "content": [document]}])
    assert asked.messages == [ChatMessage("user", f"Sea\nA book\n{text}")]


@pytest.mark.parametrize(
    ("role", "block", "message"),
    [
        (
            "assistant",
            {"type": "tool_result", "tool_use_id": "t"},
            "a turn of the assistant has no content of type 'tool_result'",
        ),
        (
            "user",
            {"type": "tool_use", "id": "t", "name": "Read", "input": {}},
            "a turn of the user has no content of type 'tool_use'",
        ),
        ("user", {"type": "thinking", "thinking": "Hm"}, "a turn of the user has no content of type 'thinking'"),
    ],
)
async def test_content_that_a_turn_cannot_have_is_refused_by_its_path(
    role: str, block: dict[str, Any], message: str
) -> None:
    content = [{"type": "text", "text": "Hi"}, block]
    answer = await asked_with(FakeChat(), messages=[*BODY["messages"], {"role": role, "content": content}])
    assert answer.status == 400
    assert answer.json["error"]["message"] == f"messages[1].content[1].type: {message}"


async def test_a_picture_for_a_model_that_reads_text_is_refused_by_its_path() -> None:
    answer = await asked_with(
        FakeChat(), messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}, IMAGE]}]
    )
    assert answer.status == 400
    expected = "messages[0].content[1]: content of type 'image' is not supported by this model; send text"
    assert answer.json["error"]["message"] == expected


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
