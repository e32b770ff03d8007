"""Fields of chats that are ambiguous, and hints that have no effect. The numbers are those of public reports."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.server.field_cases.shapes import (
    GO_ON,
    SAVE,
    TOOLS,
    asked,
    call,
    result,
    turns,
)

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
