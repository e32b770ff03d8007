"""Requests as clients in the field send them, and what is made of each. The numbers are those of public reports."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import GenerationRequest, JsonSchemaGrammar, Tool, ToolChoice
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, Exchange, ask, make_app

ABSENT: Any = object()
"""The value of a field to leave out of the body."""

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SAVE = {"type": "function", "function": {"name": "save", "parameters": CITY}}
TOOLS = [SAVE, {"type": "function", "function": {"name": "load"}}]
CALL_SAVE = ToolChoice("required", "save")

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
        {"grammar": JsonSchemaGrammar(CITY), "grammar_param": "response_format.json_schema.schema"},
    ),
    (
        "13 B, a schema beside the type",
        {"response_format": {"type": "json_schema", "schema": CITY}},
        {"grammar": JsonSchemaGrammar(CITY), "grammar_param": "response_format.schema"},
    ),
    (
        "13 C, json_object with a schema",
        {"response_format": {"type": "json_object", "schema": CITY}},
        {"grammar": JsonSchemaGrammar(CITY), "grammar_param": "response_format.schema"},
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
        {"grammar.schema.maximum": 2**64 - 1},
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
    ("no model", {"model": ABSENT}, {}),
    ("a null model", {"model": None}, {}),
]
"""The fields of a chat, and what the engine is asked."""

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("32 temperature as text", {"temperature": "0.7"}, "temperature", "expected a number, got a string"),
    ("32 max_tokens as text", {"max_tokens": "100"}, "max_tokens", "expected an integer, got a string"),
    ("63 required without tools", {"tool_choice": "required"}, "tool_choice", "there are no tools"),
    ("63 any without tools", {"tools": [], "tool_choice": {"type": "any"}}, "tool_choice", "there are no tools"),
    (
        "63 an unknown name",
        {"tools": TOOLS, "tool_choice": {"type": "function", "name": "saev"}},
        "tool_choice.name",
        "no function of this name",
    ),
    (
        "13 no schema",
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
        'send {"type": "json_schema", "json_schema": {"name": "…", "schema": {…}}}',
    ),
    ("0 tokens", {"max_tokens": 0}, "max_tokens", "must be at least 1; -1 and leaving it out mean no limit"),
]
"""The fields of a chat, the `param` of the 400, and words of its message."""


async def asked(fields: dict[str, Any], path: str = "/v1/chat/completions") -> tuple[Exchange, FakeChat]:
    chat = FakeChat()
    body = {name: value for name, value in {**BODY, **fields}.items() if value is not ABSENT}
    return await ask(make_app(chat), path=path, json=body), chat


def at(request: GenerationRequest, path: str) -> Any:
    """The value at `sampling.seed` or `prompt.messages.0.content`."""
    value: Any = request
    for name in path.split("."):
        value = value[int(name)] if name.isdigit() else value[name] if isinstance(value, dict) else getattr(value, name)
    return value


@pytest.mark.parametrize(("fields", "expected"), [case[1:] for case in SERVED], ids=[case[0] for case in SERVED])
async def test_what_is_unmistakable_is_served(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    answer, chat = await asked(fields)
    assert answer.status == 200, answer.body
    (request,) = chat.requests
    assert {path: at(request, path) for path in expected} == expected


@pytest.mark.parametrize(
    ("fields", "param", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
async def test_what_is_ambiguous_is_a_400_that_shows_the_right_spelling(
    fields: dict[str, Any], param: str, words: str
) -> None:
    answer, chat = await asked(fields)
    assert (answer.status, answer.error["param"]) == (400, param)
    assert words in answer.error["message"]
    assert chat.requests == []


NOTED: list[tuple[str, dict[str, Any], str | None]] = [
    ("14 stream_options without a stream", {"stream_options": {"include_usage": True}}, "stream_options"),
    ("14 null stream_options", {"stream": True, "stream_options": None}, None),
    ("14 empty stream_options", {"stream": True, "stream_options": {}}, None),
    (
        "59 obfuscation turned off",
        {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
        None,
    ),
    ("2 a tier", {"service_tier": "priority"}, "service_tier"),
    ("2 verbosity", {"verbosity": "low"}, "verbosity"),
    (
        "1 tools of other types",
        {"tools": [SAVE, {"type": "web_search"}, {"type": "custom", "custom": {"name": "patch"}}]},
        "tools[1].web_search, tools[2].custom",
    ),
    (
        "62 cache_control",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "e"}}]}]},
        "messages[].content[].cache_control",
    ),
]
"""The fields of a chat, and the header that names those without effect."""


@pytest.mark.parametrize(("fields", "header"), [case[1:] for case in NOTED], ids=[case[0] for case in NOTED])
async def test_a_hint_is_accepted_and_named(fields: dict[str, Any], header: str | None) -> None:
    answer, _ = await asked(fields)
    assert (answer.status, answer.headers.get("x-ignored-parameters")) == (200, header)
