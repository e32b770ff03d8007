"""Answers that are, as a whole, the JSON object of a call: Qwen2.5-Coder leaves the markers out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.chat.types import TextDelta, Tool
from providers.engines.output.markup import GENERIC_TOOLS
from providers.engines.output.parser import AnswerFormat, AnswerSplitter
from providers.engines.output.stop import stop_matcher
from tests.unit.providers.engines.split_answers import JSON_CALLS, PARIS, TOOLS, WEATHER, Answer, call, split

OBJECT = json.dumps({"name": "get_weather", "arguments": PARIS})
CALLED = [("get_weather", PARIS)]


def splits(text: str, **options: Any) -> Answer:
    """The answer, however the text is cut into pieces."""
    whole, pieces = split([text], **options), split([*text], **options)
    assert whole == pieces
    return whole


@pytest.mark.parametrize(
    "text",
    [
        OBJECT,
        f"\n{OBJECT}\n",
        f"```json\n{OBJECT}\n```",
        f"```\n{OBJECT}\n```\n",
        f"```json{OBJECT}",
        json.dumps({"arguments": PARIS, "name": "get_weather"}, indent=2),
        json.dumps({"name": "get_weather", "parameters": PARIS}),
        OBJECT[:-1],
        f"<think>Paris?</think>\n\n{OBJECT}",
    ],
)
def test_an_object_that_names_a_tool_is_a_call(text: str) -> None:
    answer = splits(text)
    assert (answer.arguments, answer.text, answer.finish) == (CALLED, "", "tool_calls")


@pytest.mark.parametrize(
    "text",
    [
        f"{OBJECT} is the call.",
        f"```json\n{OBJECT}\n``` is the call.",
        f"Call: {OBJECT}",
        f"{OBJECT}\n{OBJECT}",
        f"{OBJECT}```",
        f"```python\n{OBJECT}\n```",
        f"[{OBJECT}]",
        '{"name": "get_weather"}',
        '{"name": "somebody", "arguments": {}}',
        '{"name": "get_weather", "arguments": {}, "age": 3}',
        '{"name": "get_weather", "arguments": [1]}',
        '{"city": "Paris"}',
        "```json\n",
        "{}",
        "{",
    ],
)
def test_anything_else_is_content(text: str) -> None:
    answer = splits(text)
    assert (answer.text, answer.calls, answer.finish) == (text, [], "stop")


@pytest.mark.parametrize("text", ['{"city"', '{"name": "some"', "```p", f"{OBJECT} i", "Hel", '{"name": "now", "a"'])
def test_content_is_held_back_only_while_it_can_be_such_an_object(text: str) -> None:
    splitter = AnswerSplitter(JSON_CALLS, tools=TOOLS)
    left = "".join(delta.text for char in text for delta in splitter.push(char) if isinstance(delta, TextDelta))
    assert left == text
    assert splitter.push(": x") == [TextDelta(": x")]


def test_an_unfinished_object_is_the_beginning_of_a_call_once_its_arguments_begin() -> None:
    begun = splits('{"name": "get_weather", "arguments": {"city": "Pa', cut=True)
    assert (begun.calls, begun.text, begun.finish) == ([("get_weather", '{"city": "Pa')], "", "length")
    early = splits('{"name": "get_wea', cut=True)
    assert (early.calls, early.text, early.finish) == ([], '{"name": "get_wea', "length")


def test_a_stop_string_may_end_the_object() -> None:
    answer = splits(f"{OBJECT}\nUser: and", stop=stop_matcher(("\nUser:",)))
    assert (answer.arguments, answer.text, answer.finish, answer.stopped) == (CALLED, "", "tool_calls", True)


def test_an_object_before_a_call_with_markers_is_content() -> None:
    answer = splits(f"{OBJECT}\n{call('now', {})}")
    assert (answer.arguments, answer.text) == ([("now", {})], f"{OBJECT}\n")


def test_where_a_grammar_holds_objects_are_answers() -> None:
    """The form of the answer may be such an object, and a strict function's arguments follow its schema."""
    strict = Tool(name="get_weather", parameters=WEATHER.parameters, strict=True)
    for options in ({"bare": False}, {"tools": [strict]}, {"tools": []}):
        assert splits(OBJECT, format=AnswerFormat(None, GENERIC_TOOLS), **options).text == OBJECT
