"""`functions` and `function_call`, which clients from before `tools` send."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from providers.chat.types import ChatPrompt, TextDelta, Tool, ToolChoice
from tests.unit.server.api.responses.scripts import CALL, script
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, ask, make_app

WEATHER = {"name": "get_weather", "description": "Weather.", "parameters": {"type": "object"}}
ASKED = {**BODY, "functions": [WEATHER]}


def answering() -> FakeChat:
    return FakeChat(script=script(*CALL, reason="tool_calls"))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice("auto", parallel=False)),
        ("auto", ToolChoice("auto", parallel=False)),
        ("none", ToolChoice("none", parallel=False)),
        ({"name": "get_weather"}, ToolChoice("required", "get_weather", parallel=False)),
    ],
)
async def test_functions_are_tools(choice: Any, expected: ToolChoice) -> None:
    chat = answering()
    answer = await ask(make_app(chat), json={**ASKED, "function_call": choice})
    assert answer.status == 200
    asked = chat.requests[0].prompt
    assert isinstance(asked, ChatPrompt)
    assert (asked.tools, asked.tool_choice) == ([Tool("get_weather", "Weather.", {"type": "object"})], expected)
    assert "x-ignored-parameters" not in answer.headers


async def test_the_answer_has_the_older_form() -> None:
    answer = await ask(make_app(answering()), json=ASKED)
    (choice,) = answer.json["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "function_call": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    }
    ChatCompletion.model_validate(answer.json, strict=True)


async def test_a_stream_has_the_older_form() -> None:
    answer = await ask(make_app(answering()), json={**ASKED, "stream": True})
    deltas = [choice["delta"] for chunk in answer.chunks for choice in chunk["choices"]]
    assert [delta["function_call"] for delta in deltas if "function_call" in delta] == [
        {"name": "get_weather", "arguments": ""},
        {"arguments": '{"city": '},
        {"arguments": '"Paris"}'},
    ]
    assert not any("tool_calls" in delta for delta in deltas)
    assert answer.chunks[-1]["choices"][0]["finish_reason"] == "function_call"
    for chunk in answer.chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)


async def test_an_answer_without_a_call_is_the_usual_one() -> None:
    answer = await ask(make_app(FakeChat(script=script(TextDelta("Hi")))), json=ASKED)
    assert answer.json["choices"][0]["message"] == {"role": "assistant", "content": "Hi", "refusal": None}


@pytest.mark.parametrize("fields", [{"functions": [], "function_call": "auto"}, {"function_call": "none"}])
async def test_a_choice_among_no_functions_is_accepted(fields: dict[str, Any]) -> None:
    assert (await ask(make_app(FakeChat()), json={**BODY, **fields})).status == 200


async def test_the_older_choice_works_with_tools_too() -> None:
    chat = answering()
    tools = [{"type": "function", "function": WEATHER}]
    answer = await ask(make_app(chat), json={**BODY, "tools": tools, "function_call": {"name": "get_weather"}})
    asked = chat.requests[0].prompt
    assert isinstance(asked, ChatPrompt)
    assert asked.tool_choice == ToolChoice("required", "get_weather")
    assert answer.json["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"functions": [WEATHER, {**WEATHER, "description": "Other."}]}, "functions[1].name"),
        ({"functions": [WEATHER], "function_call": {"name": "f"}}, "function_call.name"),
        ({"functions": [WEATHER], "tools": [{"type": "function", "function": WEATHER}]}, "functions"),
        ({"functions": [WEATHER], "tool_choice": "auto", "function_call": "auto"}, "function_call"),
        ({"functions": [{}]}, "functions[0].name"),
        ({"functions": [WEATHER], "function_call": "any"}, "function_call"),
    ],
)
async def test_what_contradicts_itself_is_named(fields: dict[str, Any], param: str) -> None:
    answer = await ask(make_app(FakeChat()), json={**BODY, **fields})
    assert (answer.status, answer.error["param"]) == (400, param)


@pytest.mark.parametrize(
    "history",
    [
        [{"role": "function", "name": "get_weather", "content": "3 C"}],
        [
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "null"}},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
            {"role": "function", "name": "f", "content": "1"},
            {"role": "function", "name": "f", "content": "2"},
        ],
    ],
    ids=["cut", "several"],
)
async def test_results_without_ids_are_read(history: list[dict[str, Any]]) -> None:
    """A client that trims its history cuts a call from its result."""
    chat = FakeChat()
    answer = await ask(make_app(chat), json={**BODY, "messages": [*BODY["messages"], *history]})
    assert answer.status == 200, answer.body
    asked = chat.requests[0].prompt
    assert isinstance(asked, ChatPrompt)
    assert [turn.tool_call_id for turn in asked.messages if turn.role == "tool"] == ["call_1", "call_2"][
        : len(history) // 2 or 1
    ]
