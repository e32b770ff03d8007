"""Custom tools, namespaces and many tools: how the model sees them, and how its calls come back."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.responses.request import CreateResponse
from providers.chat.types import (
    Accepted,
    ChatPrompt,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
    Tool,
    ToolCallDelta,
    ToolChoice,
)
from providers.errors import InvalidRequest
from server.api.responses.custom_input import custom_inputs
from server.api.responses.tools import offer
from server.serialization import converter
from tests.unit.server.api.responses.scripts import BODY, PATH, WEATHER, script, stream_events, types
from tests.unit.server.fakes import FINISHED, FakeChat
from tests.unit.server.harness import Exchange, ask, make_app

PATCH = '*** Begin Patch\n*** Add File: "ä😀.txt"\n+\\o/\n*** End Patch'
LARK = {"type": "grammar", "syntax": "lark", "definition": "start: /(.|\\n)+/"}
REGEX = {"type": "grammar", "syntax": "regex", "definition": "a|b"}
APPLY_PATCH: dict[str, Any] = {"type": "custom", "name": "apply_patch", "description": "Edit files", "format": LARK}
ADD_NOTE: dict[str, Any] = {"type": "function", "name": "add_note", "parameters": {"type": "object"}, "strict": False}
NOTES: dict[str, Any] = {"type": "namespace", "name": "mcp__notes", "description": "Notes", "tools": [ADD_NOTE]}


async def answer(tools: list[dict[str, Any]], *events: GenerationEvent, **fields: Any) -> tuple[Exchange, ChatPrompt]:
    chat = FakeChat(script=script(*events, reason="tool_calls"))
    found = await ask(make_app(chat), path=PATH, json={**BODY, "tools": tools, **fields})
    assert found.status == 200, found.body
    prompt = chat.requests[0].prompt
    assert isinstance(prompt, ChatPrompt)
    return found, prompt


def called(name: str, *pieces: str) -> list[GenerationEvent]:
    return [ToolCallDelta(0, id="call_1", name=name), *(ToolCallDelta(0, piece) for piece in pieces)]


async def test_a_custom_tool_is_a_function_of_one_text() -> None:
    found, prompt = await answer([{"type": "custom", "name": "say", "description": "Say it"}])
    parameters = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert prompt.tools == [
        Tool(name="say", description="Say it", parameters={**parameters, "additionalProperties": False})
    ]
    assert "x-ignored-parameters" not in found.headers


async def test_a_lark_grammar_is_read_by_the_model_and_holds_the_input() -> None:
    found, prompt = await answer([APPLY_PATCH])
    assert prompt.tools[0].description == f"Edit files\n`input` is text of this Lark grammar:\n{LARK['definition']}"
    assert (prompt.tools[0].strict, prompt.tools[0].lark) == (True, LARK["definition"])
    assert "x-ignored-parameters" not in found.headers


async def test_a_lark_grammar_that_is_not_held_is_named() -> None:
    async def run(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(3, 0, given_up=("tools[1].function.lark",))
        yield FINISHED

    tools = [{"type": "web_search"}, {"type": "function", "name": "f"}, APPLY_PATCH]
    found = await ask(make_app(FakeChat(script=run)), path=PATH, json={**BODY, "tools": tools})
    assert found.status == 200, found.body
    assert found.headers["x-ignored-parameters"] == "tools[0].web_search, tools[2].format.definition"


async def test_a_regular_expression_holds_the_input() -> None:
    found, prompt = await answer([{**APPLY_PATCH, "format": REGEX}])
    assert prompt.tools[0].parameters is not None
    assert prompt.tools[0].parameters["properties"] == {"input": {"type": "string", "pattern": "^(?:a|b)$"}}
    assert (prompt.tools[0].strict, "x-ignored-parameters" in found.headers) == (True, False)


async def test_a_call_of_a_custom_tool_comes_back_as_one() -> None:
    arguments = ['{"in', 'put": "*** Begin Patch\\n', "*** Add File: \\", '"\\u00e4\\ud83d', '\\ude00.txt\\"\\n+\\\\o/']
    events = called("apply_patch", *arguments, '\\n*** End Patch"', "}")
    whole, _ = await answer([APPLY_PATCH], TextDelta("Now."), *events)
    item = whole.json["output"][1]
    assert item.pop("id").startswith("ctc_")
    assert item == {
        "type": "custom_tool_call",
        "call_id": "call_1",
        "name": "apply_patch",
        "input": PATCH,
        "status": "completed",
    }

    streamed, _ = await answer([APPLY_PATCH], TextDelta("Now."), *events, stream=True)
    found = stream_events(streamed)
    deltas = [event for event in found if event["type"] == "response.custom_tool_call_input.delta"]
    assert "".join(event["delta"] for event in deltas) == PATCH
    assert types(found)[-4:] == [
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]
    assert found[-3]["input"] == found[-2]["item"]["input"] == PATCH
    assert {event["item_id"] for event in deltas} == {found[-2]["item"]["id"]}


@pytest.mark.parametrize(
    ("arguments", "input"),
    [
        ('{"patch": "x"}', "x"),
        ('{"patch": "x", "file": "y"}', '{"patch": "x", "file": "y"}'),
        ('{"input": "x", "why": 1}', "x"),
        ('{"input": {"a": 1}}', '{"input": {"a": 1}}'),
        ('{"input": "cut o', "cut o"),
        ('{"input": "half \\ud83d', "half "),
        ("", ""),
    ],
)
async def test_arguments_in_another_form_are_an_input_too(arguments: str, input: str) -> None:
    found, _ = await answer([APPLY_PATCH], *called("apply_patch", arguments))
    assert found.json["output"][0]["input"] == input
    streamed, _ = await answer([APPLY_PATCH], *called("apply_patch", arguments), stream=True)
    events = stream_events(streamed)
    assert events[-1]["response"]["output"][0]["input"] == input
    assert "".join(event["delta"] for event in events if event["type"].endswith("input.delta")) == input


@given(st.text(max_size=20), st.data())
async def test_an_input_is_whole_however_its_arguments_are_cut(text: str, data: st.DataObject) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=data.draw(st.booleans()))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(arguments)), max_size=5)))
    pieces = [arguments[start:end] for start, end in zip([0, *cuts], [*cuts, len(arguments)], strict=True)]

    async def events() -> AsyncGenerator[GenerationEvent, None]:
        for event in [*called("say", *pieces), ToolCallDelta(1, id="call_2", name="say"), FINISHED]:
            yield event

    request = converter.structure({**BODY, "tools": [{"type": "custom", "name": "say"}]}, CreateResponse)
    found = {0: "", 1: ""}
    async for event in custom_inputs(events(), offer(request.tools)):
        if isinstance(event, ToolCallDelta):
            found[event.call] += event.arguments
    assert found == {0: text, 1: ""}


async def test_members_of_a_namespace_are_functions_and_their_calls_name_it() -> None:
    members: dict[str, Any] = {**NOTES, "tools": [ADD_NOTE, {**APPLY_PATCH, "format": None}, {"type": "web_search"}]}
    found, prompt = await answer([WEATHER, members], *called("mcp__notes__add_note", "{}"))
    assert [tool.name for tool in prompt.tools] == ["get_weather", "mcp__notes__add_note", "mcp__notes__apply_patch"]
    item = found.json["output"][0]
    assert (item["type"], item["namespace"], item["name"]) == ("function_call", "mcp__notes", "add_note")
    assert found.json["tools"][1] == {key: value for key, value in members.items() if value is not None} | {
        "tools": [
            ADD_NOTE,
            {"type": "custom", "name": "apply_patch", "description": "Edit files"},
            {"type": "web_search"},
        ]
    }
    assert found.headers["x-ignored-parameters"] == "tools[1].tools[2].web_search"

    members["tools"].pop()
    custom, _ = await answer([members], *called("mcp__notes__apply_patch", '{"input": "x"}'), stream=True)
    done = stream_events(custom)[-2]["item"]
    assert (done["type"], done["namespace"], done["name"], done["input"]) == (
        "custom_tool_call",
        "mcp__notes",
        "apply_patch",
        "x",
    )


async def test_the_first_member_describes_its_namespace() -> None:
    members = [{"type": "web_search"}, {"type": "function", "name": "list"}, ADD_NOTE]
    _, prompt = await answer([{**NOTES, "description": "A person's notes", "tools": members}])
    assert [tool.description for tool in prompt.tools] == [
        "[mcp__notes: A person's notes]",
        ADD_NOTE.get("description"),
    ]


async def test_names_are_unique() -> None:
    same = {"type": "function", "name": "mcp__notes__add_note"}
    found, prompt = await answer([same, NOTES], *called("mcp__notes__add_note_", "{}"))
    assert [tool.name for tool in prompt.tools] == ["mcp__notes__add_note", "mcp__notes__add_note_"]
    assert found.json["output"][0]["namespace"] == "mcp__notes"
    twice = await ask(make_app(), path=PATH, json={**BODY, "tools": [NOTES, NOTES]})
    assert (twice.status, twice.error["param"]) == (400, "tools")


async def test_codex_s_own_namespace_changes_no_name() -> None:
    _, prompt = await answer([{**NOTES, "name": "functions"}, {**NOTES, "name": "old__"}])
    assert [tool.name for tool in prompt.tools] == ["add_note", "old__add_note"]


async def test_a_custom_tool_can_be_required() -> None:
    _, prompt = await answer([WEATHER, APPLY_PATCH], tool_choice={"type": "custom", "name": "apply_patch"})
    assert prompt.tool_choice == ToolChoice("required", "apply_patch")
    listed = [{"type": "custom", "name": "apply_patch"}]
    _, prompt = await answer(
        [WEATHER, APPLY_PATCH], tool_choice={"type": "allowed_tools", "mode": "auto", "tools": listed}
    )
    assert [tool.name for tool in prompt.tools] == ["apply_patch"]


@pytest.mark.parametrize(
    ("param", "here"),
    [
        ("tools[1].function.parameters.properties", "tools[2].tools[0].parameters.properties"),
        ("tools[2].function.parameters.properties.input.pattern", "tools[3].format.definition"),
        ("tools", "tools"),
    ],
)
async def test_a_refusal_counts_tools_as_the_client_does(param: str, here: str) -> None:
    async def refuse(_: Any) -> Any:
        raise InvalidRequest("no", param=param)
        yield

    tools = [WEATHER, {"type": "web_search"}, NOTES, {**APPLY_PATCH, "format": REGEX}]
    found = await ask(make_app(FakeChat(script=refuse)), path=PATH, json={**BODY, "tools": tools})
    assert found.error["param"] == here


@pytest.mark.parametrize(
    ("choice", "expected", "echoed"),
    [
        ("any", ToolChoice("required"), "required"),
        ({"type": "any"}, ToolChoice("required"), "required"),
        ({"type": "auto"}, ToolChoice("auto"), "auto"),
        ({"type": "none"}, ToolChoice("none"), "none"),
        *(
            (choice, ToolChoice("required", "add_note"), {"type": "function", "name": "add_note"})
            for choice in (
                {"type": "tool", "name": "add_note"},
                {"type": "function", "function": {"name": "add_note"}},
            )
        ),
    ],
)
async def test_case_63_choices_in_the_forms_of_other_apis(choice: Any, expected: ToolChoice, echoed: Any) -> None:
    found, prompt = await answer([ADD_NOTE], tool_choice=choice)
    assert (prompt.tool_choice, found.json["tool_choice"]) == (expected, echoed)


async def test_a_function_in_the_form_of_chat_completions() -> None:
    nested = {"type": "function", "function": {name: WEATHER[name] for name in ("name", "parameters", "strict")}}
    found, prompt = await answer([nested])
    assert [tool.name for tool in prompt.tools] == ["get_weather"]
    assert prompt.tools[0].parameters == WEATHER["parameters"]
    assert "x-ignored-parameters" not in found.headers
    (echoed,) = found.json["tools"]
    assert {name: echoed[name] for name in WEATHER} == WEATHER
    assert "function" not in echoed


async def test_a_function_without_a_name_is_refused_in_both_forms() -> None:
    for tool in ({"type": "function", "parameters": {}}, {"type": "function", "function": {"parameters": {}}}):
        found = await ask(make_app(FakeChat()), path=PATH, json={**BODY, "tools": [tool]})
        assert found.status == 400
        assert found.json["error"]["param"] == "tools[0].name"


async def test_case_7_more_than_128_tools() -> None:
    tools = [{**ADD_NOTE, "name": f"t{number:03}"} for number in range(238)]
    for choice in ("auto", "required"):
        _, prompt = await answer(tools, tool_choice=choice)
        assert len(prompt.tools) == 238


def test_a_function_needs_no_type() -> None:
    request = converter.structure({**BODY, "tools": [{"name": "f", "parameters": {}}]}, CreateResponse)
    assert request.tools is not None
    assert request.tools[0].type == "function"
