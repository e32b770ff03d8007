"""Fields of chats as clients in the field send them, and what is made of each. Numbers are those of reports."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import JsonSchemaGrammar, Tool, ToolChoice
from tests.unit.server.field_cases.shapes import (
    ABSENT,
    CALL_SAVE,
    CITY,
    SAVE,
    TOOLS,
    asked,
    at,
)

SERVED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("31 stop of an empty text", {"stop": [""]}, {"stop": []}),
    ("31 stop empty", {"stop": ""}, {"stop": []}),
    ("31 stop []", {"stop": []}, {"stop": []}),
    ("31 stop null", {"stop": None}, {"stop": []}),
    ("31 stop with an empty text", {"stop": ["", "\n\n", None]}, {"stop": ["\n\n"]}),
    ("31 40 stops", {"stop": [str(number) for number in range(40)]}, {"stop": [str(number) for number in range(40)]}),
    ("32 a count with a point", {"max_tokens": 512.0}, {"max_tokens": 512}),
    ("32 n with a point", {"n": 1.0}, {"n": 1}),
    ("32 top_k with a point", {"top_k": 40.0}, {"sampling.top_k": 40}),
    ("32 temperature without a point", {"temperature": 0}, {"sampling.temperature": 0.0}),
    ("32 the greatest seed", {"seed": 18446744073709551615}, {"sampling.seed": 2**63 - 1}),
    ("32 a random seed", {"seed": -1}, {"sampling.seed": None}),
    ("5 more tokens than fit", {"max_tokens": 200_000}, {"max_tokens": 200_000}),
    ("5 more tokens than any model has", {"max_completion_tokens": 10**12}, {"max_tokens": 2**31 - 1}),
    ("5 no limit", {"max_tokens": -1}, {"max_tokens": None}),
    (
        "13 A, a schema without a name",
        {"response_format": {"type": "json_schema", "json_schema": {"schema": CITY}}},
        {"grammar": JsonSchemaGrammar(CITY, strict=False), "grammar_param": "response_format.json_schema.schema"},
    ),
    (
        "13 B, a schema beside the type",
        {"response_format": {"type": "json_schema", "schema": CITY}},
        {"grammar": JsonSchemaGrammar(CITY, strict=False), "grammar_param": "response_format.schema"},
    ),
    (
        "13 C, json_object with a schema",
        {"response_format": {"type": "json_object", "schema": CITY}},
        {"grammar": JsonSchemaGrammar(CITY, strict=False), "grammar_param": "response_format.schema"},
    ),
    (
        "13 D, a name with blanks",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "my schema v1.0", "strict": True, "schema": CITY},
            }
        },
        {"grammar": JsonSchemaGrammar(CITY)},
    ),
    (
        "29 the greatest integer of 64 bits in a schema",
        {"json_schema": {"type": "integer", "maximum": 18446744073709551615, "minimum": -1.7976931348623157e308}},
        {"grammar.schema.maximum": 2**64 - 1, "grammar.strict": False},
    ),
    (
        "29 an integer of more than 64 bits in a schema",
        {"response_format": {"type": "json_schema", "schema": {"type": "integer", "maximum": 10**30}}},
        {"grammar.schema.maximum": 1e30},
    ),
    (
        "29 an integer of more than 64 bits in the text of a schema",
        {"guided_json": '{"type": "integer", "maximum": 1000000000000000000000000000000}'},
        {"grammar.schema.maximum": 1e30},
    ),
    (
        "29 an integer of more than 64 bits in a function",
        {
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {"properties": {"n": {"const": 2**64}}}}}
            ]
        },
        {"prompt.tools.0.parameters.properties.n.const": 2.0**64},
    ),
    ("60 no type", {"tools": [{"function": {"name": "save"}}]}, {"prompt.tools.0.name": "save"}),
    (
        "60 a function as in the Responses API",
        {"tools": [{"type": "function", "name": "save", "parameters": CITY, "strict": True}]},
        {"prompt.tools": [Tool("save", None, CITY, strict=True)]},
    ),
    ("63 any", {"tools": TOOLS, "tool_choice": "any"}, {"prompt.tool_choice": ToolChoice("required")}),
    *(
        (f"63 type {word}", {"tools": TOOLS, "tool_choice": {"type": word}}, {"prompt.tool_choice": ToolChoice(mode)})
        for word, mode in (("auto", "auto"), ("none", "none"), ("required", "required"), ("any", "required"))
    ),
    *(
        (f"63 {choice}", {"tools": TOOLS, "tool_choice": choice}, {"prompt.tool_choice": CALL_SAVE})
        for choice in (
            {"type": "tool", "name": "save"},
            {"type": "function", "name": "save"},
            {"type": "function", "function": {"name": "save"}},
            {"function": {"name": "save"}},
        )
    ),
    *(
        (
            f"63 {choice}",
            {"tools": TOOLS, "tool_choice": choice},
            {"prompt.tool_choice": ToolChoice("auto"), "prompt.tools": [Tool("save", None, CITY)]},
        )
        for choice in (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"function": {"name": "save"}}]}},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "save"}]},
        )
    ),
    ("63 none with tools", {"tools": TOOLS, "tool_choice": "none"}, {"prompt.tool_choice": ToolChoice("none")}),
    ("63 auto without tools", {"tools": [], "tool_choice": "auto"}, {"prompt.tools": []}),
    ("63 auto with null tools", {"tools": None, "tool_choice": "auto"}, {"prompt.tools": []}),
    *(
        (f"27 {spelling}", spelling, {"prompt.template_kwargs.enable_thinking": False})
        for spelling in (
            {"enable_thinking": False},
            {"chat_template_kwargs": {"enable_thinking": False}},
            {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
            {"extra_body": {"enable_thinking": False}},
            {"reasoning_effort": "none"},
            {"thinking": {"type": "disabled"}},
            {"think": False},
            {"reasoning": {"enabled": False}},
            {"reasoning": {"effort": "none"}},
            {"chat_template_kwargs": {"enable_thinking": "false"}},
            {"chat_template_kwargs": {"enable_thinking": "False"}},
            {"enable_thinking": False, "think": False, "thinking": {"type": "disabled"}},
            {"reasoning_effort": "high", "chat_template_kwargs": {"enable_thinking": False}},
        )
    ),
    ("27 Ollama's levels", {"think": "high"}, {"prompt.template_kwargs.reasoning_effort": "high"}),
    ("27 the body wins over extra_body", {"extra_body": {"n": 2, "seed": 3}, "n": 1}, {"n": 1, "sampling.seed": 3}),
    *(
        (f"27 no effort: {spelling}", spelling, {"prompt.template_kwargs": {}})
        for spelling in (
            {"reasoning_effort": ""},
            {"reasoning_effort": "default"},
            {"reasoning": {"effort": "auto"}},
            {"think": ""},
            {"reasoning": {}},
            {"reasoning": []},
        )
    ),
    *(
        (f"27 on: {spelling}", spelling, {"prompt.template_kwargs.enable_thinking": True})
        for spelling in (
            {"thinking": True},
            {"thinking": {"budget_tokens": 9}},
            {"think": "true"},
            {"reasoning": "high"},
            {"reasoning": True},
        )
    ),
    ("27 no budget", {"thinking": {"type": "enabled", "budget_tokens": -1}}, {"max_reasoning_tokens": None}),
    ("27 no thought", {"thinking": {"type": "enabled", "budget_tokens": 0}}, {"max_reasoning_tokens": 0}),
    ("llama.cpp's name of a penalty", {"repeat_penalty": 1.1}, {"sampling.repetition_penalty": 1.1}),
    ("PHP's empty objects", {"logit_bias": [], "stream_options": [], "chat_template_kwargs": []}, {}),
    (
        "PHP's empty parameters",
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
        {"prompt.tools": [Tool("f", parameters={})]},
    ),
    ("the same function twice", {"tools": [SAVE, SAVE]}, {"prompt.tools": [Tool("save", None, CITY)]}),
    ("an empty model", {"model": ""}, {}),
    ("no model", {"model": ABSENT}, {}),
    ("a null model", {"model": None}, {}),
    (
        "7 142 tools",
        {"tools": [{"function": {"name": f"t{index:03}"}} for index in range(142)], "tool_choice": "required"},
        {"prompt.tools.141.name": "t141", "prompt.tool_choice": ToolChoice("required")},
    ),
]
"""The fields of a chat, and what the engine is asked."""


@pytest.mark.parametrize(("fields", "expected"), [case[1:] for case in SERVED], ids=[case[0] for case in SERVED])
async def test_what_is_unmistakable_is_served(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    answer, chat = await asked(fields)
    assert answer.status == 200, answer.body
    (request,) = chat.requests
    assert {path: at(request, path) for path in expected} == expected
