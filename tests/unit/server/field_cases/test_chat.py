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


def turns(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "x"}, *messages]}


def call(**fields: Any) -> dict[str, Any]:
    """An assistant's turn with one call of `w`."""
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "w", **fields.pop("of", {})}, **fields}],
    }


def result(**fields: Any) -> dict[str, Any]:
    return {"role": "tool", "content": "3 C", **fields}


EMPTY_TURNS: list[dict[str, Any]] = [
    {"content": None, "reasoning_content": "The user greets."},
    {"content": None, "reasoning": "The user greets."},
    {"content": ""},
    {"content": None},
    {},
    {"content": []},
    {"content": [{"type": "text", "text": ""}]},
    {"content": None, "tool_calls": []},
    {"content": None, "tool_calls": None, "function_call": None, "refusal": None, "audio": None, "annotations": []},
]
GO_ON = {"role": "user", "content": "Go on"}

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
        (f"22 {turn}", turns({"role": "assistant", **turn}, GO_ON), {"prompt.messages.1.content": ""})
        for turn in EMPTY_TURNS
    ),
    (
        "22 calls without the content key",
        turns(
            {"role": "assistant", "tool_calls": call(id="c1", type="function")["tool_calls"]}, result(tool_call_id="c1")
        ),
        {"prompt.messages.1.content": None, "prompt.messages.1.tool_calls.0.id": "c1"},
    ),
    *(
        (
            f"23 {name}",
            turns({"role": "assistant", "content": "x", name: "I need the tool."}, GO_ON),
            {"prompt.messages.1.reasoning_content": "I need the tool."},
        )
        for name in ("reasoning", "reasoning_content")
    ),
    (
        "61 an object as arguments, and no type",
        turns(call(index=0, id="c1", of={"arguments": {"city": "Oslo"}}), result(name="w", tool_call_id="c1")),
        {"prompt.messages.1.tool_calls.0.function.arguments": {"city": "Oslo"}},
    ),
    *(
        (
            f"61 arguments {given!r}",
            turns(call(id="c1", of={"arguments": given}), result(tool_call_id="c1")),
            {"prompt.messages.1.tool_calls.0.function.arguments": arguments},
        )
        for given, arguments in (
            ("", {}),
            (None, {}),
            ("null", {}),
            ([], {}),
            ([1], "[1]"),
            (5, "5"),
            ('{"city": "Os', '{"city": "Os'),
            ("[1]", "[1]"),
        )
    ),
    *(
        (
            f"61 ids {given!r}",
            turns(call(id=given), result(tool_call_id=given), call(id=given), result(tool_call_id=given)),
            {
                "prompt.messages.1.tool_calls.0.id": "call_1",
                "prompt.messages.2.tool_call_id": "call_1",
                "prompt.messages.3.tool_calls.0.id": "call_2",
                "prompt.messages.4.tool_call_id": "call_2",
            },
        )
        for given in (None, "")
    ),
    (
        "61 the same id in two turns",
        turns(call(id="c1"), result(tool_call_id="c1"), call(id="c1"), result(tool_call_id="c1")),
        {"prompt.messages.4.tool_call_id": "c1"},
    ),
    ("61 no id in a result", turns(call(id="c1"), result()), {"prompt.messages.2.tool_call_id": "c1"}),
    (
        "61 no id in results with names",
        turns(
            call(id="c1"), {**call(id="c2"), "tool_calls": [{"id": "c2", "function": {"name": "v"}}]}, result(name="v")
        ),
        {"prompt.messages.3.tool_call_id": "c2"},
    ),
    (
        "61 ids that are numbers",
        turns(call(id=7, type=None), result(tool_call_id=7)),
        {"prompt.messages.1.tool_calls.0.id": "7", "prompt.messages.2.tool_call_id": "7"},
    ),
    (
        "61 a custom tool",
        turns(
            {
                "role": "assistant",
                "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "w", "input": "x"}}],
            },
            result(tool_call_id="c1"),
        ),
        {"prompt.messages.1.tool_calls.0.function": {"name": "w", "arguments": {"input": "x"}}},
    ),
    ("61 a result whose call was cut away", turns(result()), {"prompt.messages.1.tool_call_id": "call_1"}),
    *(
        (
            f"61 the result {given!r}",
            turns(call(id="c1"), result(tool_call_id="c1", content=given)),
            {"prompt.messages.2.content": text},
        )
        for given, text in (
            ({"temperature": 3}, '{"temperature": 3}'),
            (3, "3"),
            (True, "true"),
            ([{"type": "resource", "uri": "x"}], '{"type": "resource", "uri": "x"}'),
            ([{"type": "output_text", "text": "3 C"}], "3 C"),
            ([{"text": "3 C"}], "3 C"),
            ([{"type": "image", "source": {"data": "AAAA"}}], "[image]"),
            ([{"type": "image_url", "image_url": "data:,"}], "[image]"),
        )
    ),
    *(
        (
            f"23 a part of type {part['type']}",
            turns({"role": "assistant", "content": [part, {"type": "text", "text": "x"}]}, GO_ON),
            {"prompt.messages.1.reasoning_content": "hm", "prompt.messages.1.content": "x"},
        )
        for part in (
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "reasoning", "text": "hm", "reasoning": "hm"},
        )
    ),
    (
        "62 output_text of an assistant",
        turns({"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": []}]}, GO_ON),
        {"prompt.messages.1.content": "x"},
    ),
    (
        "61 role function",
        turns(
            {"role": "assistant", "content": None, "function_call": {"name": "w", "arguments": '{"a": 1}'}},
            {"role": "function", "name": "w", "content": "3 C"},
        ),
        {
            "prompt.messages.1.tool_calls.0.function": {"name": "w", "arguments": {"a": 1}},
            "prompt.messages.2.role": "tool",
            "prompt.messages.2.tool_call_id": "call_1",
        },
    ),
    (
        "61 content of a result in parts",
        turns(call(id="c1"), result(tool_call_id="c1", content=[{"type": "text", "text": "3 C"}])),
        {"prompt.messages.2.content": "3 C"},
    ),
    (
        "images, sound and files of a tool",
        turns(
            call(id="c1"),
            result(
                tool_call_id="c1",
                content=[
                    {"type": "text", "text": "Here:"},
                    {"type": "image_url", "image_url": {"url": "data:,"}},
                    {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
                    {"type": "file", "file": {"file_data": ""}},
                ],
            ),
        ),
        {"prompt.messages.2.content": "Here:\n[image]\n[audio]\n[file]"},
    ),
    (
        "62 parts in every role",
        {
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
                {"role": "user", "content": [{"type": "text", "text": text} for text in ("<file>", "body", "")]},
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "ok"}, {"type": "refusal", "refusal": "no"}],
                },
            ]
        },
        {
            "prompt.messages.0.content": "Be brief.",
            "prompt.messages.1.content": "<file>\nbody",
            "prompt.messages.2.content": "ok\nno",
        },
    ),
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
    (
        "61 a result of one of two calls",
        turns(call(id="c1"), call(id="c2"), result()),
        "messages[3].tool_call_id",
        "the calls without a result are 'c1', 'c2'",
    ),
    (
        "62 input_text",
        turns({"role": "user", "content": [{"type": "input_text", "text": "x"}]}),
        "messages[1].content[0].type",
        "expected one of 'text'",
    ),
    (
        "an unknown role",
        turns({"role": "robot", "content": "x"}),
        "messages[1].role",
        "expected one of 'system', 'developer', 'user', 'assistant', 'tool', 'function', got 'robot'",
    ),
    ("27 contradictions", {"think": True, "enable_thinking": False}, "think", "send one of them"),
    (
        "27 two efforts",
        {"reasoning_effort": "low", "reasoning": {"effort": "high"}},
        "reasoning.effort",
        "contradict each other",
    ),
    (
        "two functions of a name",
        {"tools": [SAVE, {"type": "function", "function": {"name": "save"}}]},
        "tools[1].function.name",
        "another function has the same name",
    ),
    (
        "two penalties",
        {"repeat_penalty": 1.1, "repetition_penalty": 1.2},
        "repeat_penalty",
        "contradict each other",
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
    ("27 no reasoning in the answer", {"reasoning": {"exclude": True}}, "reasoning.exclude"),
    ("2 verbosity", {"verbosity": "low"}, "verbosity"),
    (
        "1 tools of other types",
        {"tools": [SAVE, {"type": "web_search"}, {"type": "custom", "custom": {"name": "patch"}}]},
        "tools[1].web_search, tools[2].custom",
    ),
    (
        "the sound of an earlier answer",
        turns({"role": "assistant", "content": None, "audio": {"id": "1"}}, GO_ON),
        "messages[].audio",
    ),
    (
        "an image of a tool",
        turns(
            call(id="c1"), result(tool_call_id="c1", content=[{"type": "image_url", "image_url": {"url": "data:,"}}])
        ),
        "messages[].content[].image_url",
    ),
    (
        "a call among the parts of an assistant",
        turns({"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]}, GO_ON),
        "messages[].content[].tool_use",
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
