"""The output parser: content, reasoning and calls, the same however the text is cut into pieces."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.chat.types import TextDelta, TokenLogprob, ToolCallDelta
from providers.engines.output.markup import GENERIC_TOOLS, make_reasoning_format, make_tool_format
from providers.engines.output.parser import AnswerFormat, AnswerSplitter
from providers.engines.output.stop import stop_matcher
from tests.unit.providers.engines.split_answers import (
    JSON_CALLS,
    PARIS,
    TOOLS,
    Answer,
    call,
    split,
)


def test_the_name_leaves_first_and_the_arguments_as_they_come() -> None:
    splitter = AnswerSplitter(JSON_CALLS, tools=TOOLS, new_id=lambda: "call_1")
    pieces = ['<tool_call>{"na', 'me": "get_weather", ', '"arguments": {"ci', 'ty": "Pa', 'ris"}', "}</tool_call>"]
    assert [splitter.push(piece) for piece in pieces] == [
        [],
        [],
        [ToolCallDelta(0, id="call_1", name="get_weather", tokens=3), ToolCallDelta(0, '{"ci', tokens=0)],
        [ToolCallDelta(0, 'ty": "Pa')],
        [ToolCallDelta(0, 'ris"}')],
        [],
    ]


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ('{"arguments": {"city": "Rome"}, "name": "get_weather"}', {"city": "Rome"}),
        ('{"name": "get_weather", "parameters": {"city": "Rome"}}', {"city": "Rome"}),
        ('{"name": "get_weather", "arguments": "{\\"city\\": \\"Rome\\"}"}', {"city": "Rome"}),
        ('{"name": "get_weather"}', {}),
        ('{"name": "get_weather", "arguments": null}', {}),
        ('{"name": "get_weather", "arguments": {}, "id": [1, {"a": "}"}]}', {}),
        ('{"name": "get_weather", "arguments": {"city": "</tool_call>"}}', {"city": "</tool_call>"}),
        ('{"name": "get_weather", "arguments": {"city": "two\nlines", }}', {"city": "two\nlines"}),
        ('{"name": "get_weather", "arguments": {"city": "C:\\dir \\d+ it\\\'s"}}', {"city": "C:\\dir \\d+ it's"}),
        ('{"name": "get_weather", "arguments": {"a": [True, None, 1e5,]}}', {"a": [True, None, 1e5]}),
        ('{"name": "get_weather", "arguments": {"a": {"b": 1}', {"a": {"b": 1}}),
        ('{"name": "get_weather", "arguments": {"a": 12', {"a": 12}),
        ('{"name": "get_weather", "arguments": {"a": "\\ud83c\\udf89"}}}', {"a": "🎉"}),
    ],
)
def test_json_is_read_in_every_form_with_a_clear_meaning(body: str, arguments: Any) -> None:
    for pieces in ([f"<tool_call>{body}</tool_call>"], list(f"<tool_call>{body}</tool_call>")):
        answer = split(pieces)
        assert answer.arguments == [("get_weather", arguments)]
        assert answer.finish == "tool_calls"
        assert answer.text.strip("}") == ""


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        '{"name": 5, "arguments": {}}',
        '{"name": "get_weather", "arguments": [1]}',
        '{"name": "get_weather", "arguments": "no object"}',
        '{"nome": "get_weather"}',
        "{'name': 'get_weather'}",
        '[{"name": "get_weather"}]',
        "",
        "{}",
    ],
)
def test_text_that_is_not_a_call_leaves_with_its_marker(body: str) -> None:
    text = f"Look: <tool_call>{body}</tool_call> there"
    answer = split([*text])
    assert (answer.text, answer.calls, answer.finish) == (text, [], "stop")


def test_arguments_that_break_off_stay_unfinished_and_the_rest_is_text() -> None:
    answer = split([*'<tool_call>{"name": "get_weather", "arguments": {"city": Paris}}</tool_call>'])
    assert answer.calls == [("get_weather", '{"city": ')]
    assert answer.text == "Paris}}"
    assert answer.finish == "stop"


def test_a_call_is_whole_without_its_end_marker() -> None:
    answer = split(['<tool_call>{"name": "now", "arguments": {}}\n'])
    assert (answer.calls, answer.text, answer.finish) == ([("now", "{}")], "", "tool_calls")


def test_words_after_a_call_are_content() -> None:
    answer = split([call() + "\n\nThat is all. Write </tool_call> yourself."])
    assert answer.arguments == [("get_weather", PARIS)]
    assert answer.text == "That is all. Write </tool_call> yourself."


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(arguments=st.dictionaries(st.text(), json_values, max_size=4), ascii=st.booleans(), indent=st.booleans())
@example(arguments={"": "</tool_call>"}, ascii=False, indent=True)
def test_arguments_arrive_as_they_were_written(arguments: dict[str, Any], ascii: bool, indent: bool) -> None:
    body = json.dumps({"name": "now", "arguments": arguments}, ensure_ascii=ascii, indent=2 if indent else None)
    answer = split([*f"<tool_call>{body}</tool_call>"])
    assert answer.arguments == [("now", arguments)]
    assert json.dumps(arguments, ensure_ascii=ascii) == answer.calls[0][1] or indent


# ── reasoning ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "opened", "reasoning", "content"),
    [
        ("<think>\nhm\n</think>\n\nYes", False, "hm", "Yes"),
        ("hm, so\n</think>\n\nYes", True, "hm, so", "Yes"),
        ("<think>\nhm</think>Yes", True, "hm", "Yes"),
        ("\n<think>hm</think>Yes", False, "hm", "Yes"),
        ("<think>\n\n</think>\n\nYes", False, "", "Yes"),
        ("<think>never closed\n", False, "never closed", ""),
        ("never closed", True, "never closed", ""),
        ("</think>\n\nYes", False, "", "Yes"),
        ("</think></think>Yes", True, "", "Yes"),
        ("<think>a</think><think>b</think>Yes", False, "ab", "Yes"),
        ("Write <think> and </think> around it.", False, "", "Write <think> and </think> around it."),
        ("  indented", False, "", "  indented"),
        (" \n ", False, "", " \n "),
        ("<think>a < b </thin", False, "a < b </thin", ""),
    ],
)
def test_reasoning_is_separated_from_content(text: str, opened: bool, reasoning: str, content: str) -> None:
    for pieces in ([text], list(text)):
        answer = split(pieces, opened=opened)
        assert (answer.reasoning, answer.text, answer.finish) == (reasoning, content, "stop")


def test_a_call_inside_an_open_thought_is_made_and_a_mention_of_one_is_thought() -> None:
    answer = split([*f"<think>use <tool_call>, so: {call()}"])
    assert answer.arguments == [("get_weather", PARIS)]
    assert (answer.reasoning, answer.text) == ("use <tool_call>, so:", "")


def test_reasoning_tokens_are_counted_and_the_state_can_be_read() -> None:
    splitter = AnswerSplitter(JSON_CALLS, tools=TOOLS)
    states = []
    for piece in ("<think>", "hm", "</think>", "Yes", "<tool_call>", '{"na', 'me": "now"}', "</tool_call>"):
        splitter.push(piece)
        states.append((splitter.reasoning, splitter.in_call))
    assert splitter.reasoning_tokens == 3
    thinking, content, calling = (True, False), (False, False), (False, True)
    assert states == [thinking, thinking, content, content, calling, calling, content, content]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Yes<|return|>",
            Answer(text="Yes", reasoning="hm", finish="stop"),
        ),
        (
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.now "
            "<|constrain|>json<|message|>{}",
            Answer(reasoning="hm", calls=[("now", "{}")], finish="tool_calls"),
        ),
        (
            '<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Paris"}<|call|>',
            Answer(calls=[("get_weather", '{"city": "Paris"}')], finish="tool_calls"),
        ),
    ],
)
def test_the_channels_of_harmony_are_separated(text: str, answer: Answer) -> None:
    harmony = AnswerFormat(make_reasoning_format("harmony", None), make_tool_format("harmony", None))
    assert split([text], harmony) == split(list(text), harmony) == answer


# ── stop strings, and all stages together ──────────────────────────────────────────────────────────────────────────


def test_stop_strings_count_only_in_content() -> None:
    stop = stop_matcher(("Paris",))
    answer = split([*f"<think>Paris?</think>{call()}"], stop=stop)
    assert (answer.reasoning, answer.arguments, answer.stopped) == ("Paris?", [("get_weather", PARIS)], False)
    answer = split([*f"<think>Paris?</think>It is Paris. {call()}"], stop=stop)
    assert answer == Answer(text="It is ", reasoning="Paris?", finish="stop", stopped=True)


def test_a_stop_string_does_not_reach_across_a_call() -> None:
    answer = split(["ab", call("now", {}), "cd"], stop=stop_matcher(("abcd", "bcd")))
    assert (answer.text, answer.calls, answer.stopped) == ("abcd", [("now", "{}")], False)


@pytest.mark.parametrize("format", [AnswerFormat(), JSON_CALLS])
def test_a_stop_string_of_white_space_stops_an_answer_of_nothing_else(format: AnswerFormat) -> None:
    answer = split([" ", "\n", " "], format, cut=True, stop=stop_matcher(("\n",)))
    assert answer == Answer(text=" ", finish="stop", stopped=True)


def test_a_plain_answer_leaves_immediately_with_its_steps_and_log_probabilities() -> None:
    splitter = AnswerSplitter(AnswerFormat())
    tokens = [TokenLogprob(text, text.encode(), -0.5) for text in (" <", "b>")]
    assert splitter.push(" <", tokens[0]) == [TextDelta(" <", 1, 0, [tokens[0]])]
    assert splitter.push("", tokens[1]) == []
    assert splitter.push("b>") == [TextDelta("b>", 2, 0, [tokens[1]])]


def test_log_probabilities_are_those_of_content() -> None:
    splitter = AnswerSplitter(JSON_CALLS, index=3)
    pieces = ["<think>", "hm", "</think>", "\n\n", "Yes", "!"]
    deltas = [d for piece in pieces for d in splitter.push(piece, TokenLogprob(piece, b"", -1.0))]
    assert [(d.text, d.tokens, d.index) for d in deltas] == [("hm", 2, 3), ("Yes", 3, 3), ("!", 1, 3)]  # type: ignore[union-attr]
    reported = [token.token for d in deltas if isinstance(d, TextDelta) for token in d.logprobs or []]
    assert reported == ["\n\n", "Yes", "!"]


@settings(max_examples=300)
@given(data=st.data())
def test_calls_with_errors_are_reported_as_whole_only_if_they_are(data: st.DataObject) -> None:
    text = call("get_weather", {"city": 'a "b" \\', "days": [1, {"x": None}, -2.5e3]}) + " and so on"
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.sampled_from(["", *'{}[]",:\\ \n0atu', "</tool_call>"])) + text[at + 1 :]
    cut = data.draw(st.booleans())
    whole, answer = split([text], cut=cut), split([*text], cut=cut)
    assert whole == answer
    assert cut or answer.calls or answer.text.replace(" ", "") == text.replace(" ", "")
    if answer.finish == "tool_calls":
        assert all(isinstance(arguments, dict) for _, arguments in answer.arguments)


def test_markers_without_end_do_not_hold_the_answer_back() -> None:
    text = '<tool_call>{"x": "' * 3 + "a" * 100
    splitter = AnswerSplitter(JSON_CALLS, tools=TOOLS)
    for char in text:
        splitter.push(char)
    assert "".join(d.text for d in splitter.finish("stop") if isinstance(d, TextDelta)).endswith("a" * 100)


def test_the_generic_markers_are_those_of_hermes_models() -> None:
    module = importlib.import_module("mlx_lm.tool_parsers.json_tools")
    assert (GENERIC_TOOLS.start, GENERIC_TOOLS.end) == (module.tool_call_start, module.tool_call_end)
