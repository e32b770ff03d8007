"""Earlier turns as clients in the field replay them, and what is made of each. Numbers are those of reports."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.server.field_cases.shapes import (
    GO_ON,
    asked,
    at,
    call,
    result,
    turns,
)

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

SERVED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
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
]
"""The fields of a chat, and what the engine is asked."""


@pytest.mark.parametrize(("fields", "expected"), [case[1:] for case in SERVED], ids=[case[0] for case in SERVED])
async def test_a_history_is_read(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    answer, chat = await asked(fields)
    assert answer.status == 200, answer.body
    (request,) = chat.requests
    assert {path: at(request, path) for path in expected} == expected
