"""The tools of a message, the choice among them and the form of its text, as they reach the model."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import JsonSchemaGrammar, Tool, ToolChoice
from tests.unit.server.api.messages.asking import READ, SCHEMA, noted, prompt, refused, translate

FORMAT = {"type": "json_schema", "schema": SCHEMA}
WEB = "tools[0].web_search_20250305"


def test_a_schema_holds_the_text() -> None:
    request = translate(output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
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
def test_every_choice_among_tools_reaches_the_engine(choice: Any, expected: ToolChoice) -> None:
    asked = prompt(tools=[READ], tool_choice=choice)
    assert asked.tools == [Tool("Read", "Read a file", SCHEMA)]
    assert asked.tool_choice == expected


@pytest.mark.parametrize(
    ("tools", "expected", "names"),
    [
        ([{"name": "f"}], [Tool("f")], []),
        ([{"name": "f", "type": "custom", "strict": True}], [Tool("f", strict=True)], []),
        ([{"name": "f", "strict": False, "input_schema": SCHEMA}], [Tool("f", parameters=SCHEMA)], []),
        ([{**READ, "type": "bash_20250124"}], [Tool("Read", "Read a file", SCHEMA)], []),
        ([{"type": "web_search_20250305", "name": "w"}, READ], [Tool("Read", "Read a file", SCHEMA)], [WEB]),
        ([READ, {"name": "f"}, READ], [Tool("Read", "Read a file", SCHEMA), Tool("f")], []),
        ([], [], []),
    ],
)
def test_the_tools_of_the_client_reach_the_model(
    tools: list[dict[str, Any]], expected: list[Tool], names: list[str]
) -> None:
    assert prompt(tools=tools).tools == expected
    assert noted(tools=tools) == names


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tools": [READ, {"input_schema": SCHEMA}]}, "tools[1].name: required, but missing"),
        ({"tools": [{"type": "custom"}]}, "tools[0].name: required, but missing"),
        (
            {"tools": [READ, {**READ, "description": "x"}]},
            "tools[1].name: there is another tool of this name",
        ),
        (
            {"tools": [READ], "tool_choice": {"type": "tool", "name": "x"}},
            "tool_choice.name: there is no function of this name",
        ),
        (
            {"tools": [READ], "tool_choice": {"type": "tool"}},
            "tool_choice.name: there is no function of this name",
        ),
        ({"tool_choice": {"type": "any"}}, "tool_choice: a call is required, and there are no tools"),
        (
            {"tool_choice": {"type": "tool", "name": "x"}},
            "tool_choice: a call is required, and there are no tools",
        ),
    ],
)
def test_tools_that_cannot_be_used_are_refused_by_their_path(fields: dict[str, Any], message: str) -> None:
    error = refused(**fields)
    assert (error.message, error.param) == (message, message.partition(":")[0])


@pytest.mark.parametrize(
    ("fields", "grammar"),
    [
        ({}, None),
        ({"output_config": {"effort": "low"}}, None),
        ({"output_config": {"format": FORMAT}}, JsonSchemaGrammar(SCHEMA, strict=False)),
        ({"output_format": FORMAT}, JsonSchemaGrammar(SCHEMA, strict=False)),
        ({"output_config": {"effort": "low"}, "output_format": FORMAT}, JsonSchemaGrammar(SCHEMA, strict=False)),
        (
            {"output_config": {"format": FORMAT}, "output_format": {**FORMAT, "schema": {}}},
            JsonSchemaGrammar(SCHEMA, strict=False),
        ),
        ({"output_format": FORMAT, "tools": [READ]}, JsonSchemaGrammar(SCHEMA, strict=False)),
        ({"output_format": FORMAT, "tools": [READ], "tool_choice": {"type": "any"}}, None),
    ],
)
def test_the_form_of_the_text(fields: dict[str, Any], grammar: JsonSchemaGrammar | None) -> None:
    request = translate(**fields)
    assert (request.grammar, request.grammar_param) == (grammar, "output_format.schema")
