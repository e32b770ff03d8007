"""Tools and the form of the answer: what reaches the engine, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from litestar import Litestar

from providers.chat.types import ChatPrompt, GenerationRequest, JsonObjectGrammar, JsonSchemaGrammar, Tool, ToolChoice
from tests.unit.server.api.chat.asked import translate
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, ask, make_app

SCHEMA = {"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "integer"}}}


def function(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


TOOLS = [function("look", description="Looks.", parameters=SCHEMA, strict=True), function("hear")]
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "point", "description": "A point.", "schema": SCHEMA}}


@pytest.fixture(scope="module")
def app() -> Litestar:
    return make_app(FakeChat())


def prompt(request: GenerationRequest) -> ChatPrompt:
    assert isinstance(request.prompt, ChatPrompt)
    return request.prompt


def test_functions_reach_the_engine_unchanged() -> None:
    assert prompt(translate(tools=TOOLS)).tools == [
        Tool("look", "Looks.", SCHEMA, strict=True),
        Tool("hear", None, None),
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("auto", ToolChoice("auto")),
        ("required", ToolChoice("required")),
        (function("hear"), ToolChoice("required", "hear")),
    ],
)
def test_every_choice_among_tools_reaches_the_engine(choice: Any, expected: ToolChoice) -> None:
    assert prompt(translate(tools=TOOLS, tool_choice=choice)).tool_choice == expected


def test_allowed_tools_leave_the_others_out() -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [function("hear")]}}
    asked = prompt(translate(tools=TOOLS, tool_choice=choice))
    assert [tool.name for tool in asked.tools] == ["hear"]
    assert asked.tool_choice == ToolChoice("required")


def test_parallel_calls_are_allowed_by_default() -> None:
    assert prompt(translate(tools=TOOLS)).tool_choice.parallel
    assert not prompt(translate(tools=TOOLS, parallel_tool_calls=False, tool_choice="required")).tool_choice.parallel


@pytest.mark.parametrize("strict", [None, False, True])
def test_a_schema_is_a_form_strict_or_not(strict: bool | None) -> None:
    format = {**JSON_SCHEMA, "json_schema": {**JSON_SCHEMA["json_schema"], "strict": strict}}  # type: ignore[dict-item]
    request = translate(response_format=format)
    assert request.grammar == JsonSchemaGrammar(SCHEMA, strict=strict is True)
    assert request.grammar_param == "response_format.json_schema.schema"


def test_text_sets_no_form() -> None:
    assert translate(response_format={"type": "text"}) == translate()


@pytest.mark.parametrize("text", ['{"type": "integer"}', "true"])
def test_guided_json_may_be_the_text_of_a_schema(text: str) -> None:
    grammar = translate(guided_json=text).grammar
    assert grammar in (JsonSchemaGrammar({"type": "integer"}, strict=False), JsonSchemaGrammar(True, strict=False))


@pytest.mark.parametrize(
    ("choice", "held"),
    [("none", True), ("auto", True), ("required", False), (function("look"), False)],
)
def test_a_form_holds_only_answers_that_may_be_text(choice: Any, held: bool) -> None:
    request = translate(tools=TOOLS, tool_choice=choice, response_format={"type": "json_object"})
    assert request.grammar == (JsonObjectGrammar() if held else None)


@pytest.mark.parametrize(
    ("effort", "kwargs"),
    [
        ("none", {"reasoning_effort": "none", "enable_thinking": False}),
        ("minimal", {"reasoning_effort": "minimal", "enable_thinking": False}),
        ("high", {"reasoning_effort": "high", "enable_thinking": True}),
    ],
)
def test_effort_becomes_template_arguments(effort: str, kwargs: dict[str, Any]) -> None:
    assert prompt(translate(reasoning_effort=effort)).template_kwargs == kwargs


def test_template_arguments_override_the_effort() -> None:
    asked = prompt(translate(reasoning_effort="high", chat_template_kwargs={"enable_thinking": False}))
    assert asked.template_kwargs == {"reasoning_effort": "high", "enable_thinking": False}


INVALID = "invalid_request_error"
UNSUPPORTED = "unsupported_parameter"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"tools": [function("a"), function("a", strict=True)]}, INVALID, "tools[1].function.name"),
        ({"tools": [function("")]}, INVALID, "tools[0].function.name"),
        ({"tools": [{"type": "function"}]}, INVALID, "tools[0].function"),
        ({"tools": [{"type": 5}]}, INVALID, "tools[0].type"),
        ({"tools": [{"type": "custom", "custom": {"name": "a"}}], "tool_choice": "required"}, INVALID, "tool_choice"),
        ({"tools": [function("a", parameters=[1])]}, INVALID, "tools[0].function.parameters"),
        ({"tools": [function(str(number)) for number in range(1025)]}, INVALID, "tools"),
        ({"tool_choice": "required"}, INVALID, "tool_choice"),
        ({"tool_choice": "sometimes"}, INVALID, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": function("smell")}, INVALID, "tool_choice.function.name"),
        ({"tools": TOOLS, "tool_choice": {"type": "custom", "custom": {}}}, UNSUPPORTED, "tool_choice.type"),
        (
            {
                "tools": TOOLS,
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [function("hear"), function("smell")]},
                },
            },
            INVALID,
            "tool_choice.allowed_tools.tools[1].function.name",
        ),
        ({"response_format": {"type": "xml"}}, INVALID, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, INVALID, "response_format.json_schema"),
        ({"grammar": "root ::= a", "json_schema": {}}, INVALID, "grammar"),
        ({"response_format": JSON_SCHEMA, "json_schema": {}}, INVALID, "json_schema"),
        ({"json_schema": "{"}, INVALID, "json_schema"),
        ({"response_format": {**JSON_SCHEMA, "schema": {"type": "object"}}}, INVALID, "response_format.schema"),
        ({"tools": TOOLS, "tool_choice": {"type": "function"}}, INVALID, "tool_choice.function"),
        ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools"}}, INVALID, "tool_choice.allowed_tools"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
            INVALID,
            "response_format.json_schema.schema",
        ),
        ({"response_format": {"type": "json_object"}, "guided_regex": "a"}, INVALID, "guided_regex"),
        ({"guided_json": {}, "guided_choice": ["a"]}, INVALID, "guided_choice"),
        ({"guided_json": "{"}, INVALID, "guided_json"),
        ({"guided_json": "5"}, INVALID, "guided_json"),
        ({"guided_choice": []}, INVALID, "guided_choice"),
        ({"top_logprobs": 2}, INVALID, "top_logprobs"),
        ({"logprobs": False, "top_logprobs": 2}, INVALID, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, INVALID, "top_logprobs"),
        ({"reasoning_effort": "enormous"}, INVALID, "reasoning_effort"),
        ({"max_reasoning_tokens": 0}, INVALID, "max_reasoning_tokens"),
        ({"n": 0}, INVALID, "n"),
        (
            {"messages": [{"role": "user", "content": "x", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}]},
            INVALID,
            "messages[0].tool_calls",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function"}]}]},
            INVALID,
            "messages[0].tool_calls[0].function",
        ),
    ],
)
async def test_invalid_values_are_refused_by_their_path(
    app: Litestar, fields: dict[str, Any], code: str, param: str
) -> None:
    refused = await ask(app, json={**BODY, **fields})
    assert refused.status == 400
    assert (refused.error["code"], refused.error["param"]) == (code, param)
