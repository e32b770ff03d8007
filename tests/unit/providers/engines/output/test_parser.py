"""Splitting answers: content, reasoning and calls, the same on whatever borders the text arrives."""

from __future__ import annotations

import importlib
import itertools
import json
import tracemalloc
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.chat.types import ReasoningDelta, TextDelta, TokenLogprob, Tool, ToolCallDelta
from providers.engines.output.markup import GENERIC_TOOLS, make_reasoning_format, make_tool_format, tool_format_names
from providers.engines.output.parser import AnswerFormat, AnswerSplitter
from providers.engines.output.stop import stop_matcher

WEATHER = Tool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
)
CLOCK = Tool(name="now")
TOOLS = [WEATHER, CLOCK]
PARIS = {"city": "Paris", "days": 2}

THINK = make_reasoning_format("think", None)
JSON_CALLS = AnswerFormat(THINK, make_tool_format("json_tools", None))


@attrs.define
class Answer:
    """What a client puts together from the deltas."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = attrs.field(factory=list)
    finish: str | None = None
    stopped: bool = False

    @property
    def arguments(self) -> list[Any]:
        return [(name, json.loads(arguments)) for name, arguments in self.calls]


def split(pieces: Sequence[str], format: AnswerFormat = JSON_CALLS, *, cut: bool = False, **options: Any) -> Answer:
    options.setdefault("tools", TOOLS)
    splitter = AnswerSplitter(format, **options)
    deltas = [delta for piece in pieces for delta in splitter.push(piece)]
    deltas += splitter.finish("length" if cut else "stop")
    answer = Answer(finish=splitter.finish_reason, stopped=splitter.stopped)
    ids = []
    for delta in deltas:
        match delta:
            case TextDelta():
                answer.text += delta.text
            case ReasoningDelta():
                answer.reasoning += delta.text
            case ToolCallDelta(name=str()):
                assert delta.call == len(answer.calls)
                assert delta.arguments == ""
                ids.append(delta.id)
                answer.calls.append((delta.name, ""))
            case ToolCallDelta():
                name, arguments = answer.calls[delta.call]
                assert delta.call == len(answer.calls) - 1
                answer.calls[delta.call] = (name, arguments + delta.arguments)
    assert len(set(ids)) == len(ids)
    assert all(id.startswith("call_") for id in ids)
    return answer


def call(name: str = "get_weather", arguments: Any = PARIS) -> str:
    return "<tool_call>\n" + json.dumps({"name": name, "arguments": arguments}) + "\n</tool_call>"


# ── every format ────────────────────────────────────────────────────────────────────────────────────────────────

SAMPLES = {
    "json_tools": call(),
    "generic": call(),
    "function_gemma": "<start_function_call>call:get_weather{city:<escape>Paris<escape>,days:2}<end_function_call>",
    "gemma4": '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:2}<tool_call|>',
    "glm47": "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value>\n"
    "<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>",
    "kimi_k2": "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
    '{"city": "Paris", "days": 2}<|tool_call_end|><|tool_calls_section_end|>',
    "kimi_k3": '<|open|>tools<|sep|><|open|>call tool="get_weather" index="1"<|sep|>'
    '<|open|>argument key="city" type="string"<|sep|>Paris<|close|>argument<|sep|>'
    '<|open|>argument key="days" type="integer"<|sep|>2<|close|>argument<|sep|>'
    "<|close|>call<|sep|><|close|>tools<|sep|>",
    "longcat": "<longcat_tool_call>get_weather\n<longcat_arg_key>city</longcat_arg_key>\n"
    "<longcat_arg_value>Paris</longcat_arg_value>\n<longcat_arg_key>days</longcat_arg_key>\n"
    "<longcat_arg_value>2</longcat_arg_value>\n</longcat_tool_call>",
    "minicpm5": '<function name="get_weather"><param name="city">Paris</param><param name="days">2</param></function>',
    "minimax_m2": '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n'
    '<parameter name="days">2</parameter>\n</invoke>\n</minimax:tool_call>',
    "mistral": '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris", "days": 2}',
    "muse_spark": '<atem:function_calls>\n<atem:invoke name="get_weather">\n'
    '<atem:parameter name="city">Paris</atem:parameter>\n<atem:parameter name="days">2</atem:parameter>\n'
    "</atem:invoke>\n</atem:function_calls>",
    "pythonic": '<|tool_call_start|>[get_weather(city="Paris", days=2)]<|tool_call_end|>',
    "qwen3_coder": "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
    "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>",
}
SAMPLES["laguna"] = SAMPLES["glm47"]
FORMATS = sorted(SAMPLES)


def of(name: str) -> AnswerFormat:
    return AnswerFormat(THINK, make_tool_format(name, None))


def test_every_parser_of_mlx_lm_has_a_sample_here() -> None:
    assert {*SAMPLES, "auto", "none", "harmony"} == set(tool_format_names())


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_becomes_name_and_arguments_and_leaves_no_markup(name: str) -> None:
    answer = split(["I will look.\n", *SAMPLES[name]], of(name))
    assert answer.arguments == [("get_weather", PARIS)]
    assert (answer.text, answer.finish) == ("I will look.\n", "tool_calls")


@pytest.mark.parametrize("name", FORMATS)
def test_two_calls_in_a_row_are_two_calls(name: str) -> None:
    answer = split([SAMPLES[name], "\n", SAMPLES[name]], of(name))
    assert answer.arguments == [("get_weather", PARIS)] * 2
    assert answer.text == ""


@pytest.mark.parametrize("name", FORMATS)
def test_only_one_call_is_made_where_only_one_is_allowed(name: str) -> None:
    answer = split([SAMPLES[name], "\n", SAMPLES[name]], of(name), parallel=False)
    assert answer.arguments == [("get_weather", PARIS)]
    assert (answer.text, answer.finish) == ("", "tool_calls")


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_of_an_unknown_function_is_text(name: str) -> None:
    answer = split([*SAMPLES[name]], of(name), tools=[CLOCK])
    assert (answer.text, answer.calls, answer.finish) == (SAMPLES[name], [], "stop")


@pytest.mark.parametrize("name", FORMATS)
def test_without_tools_markup_is_text(name: str) -> None:
    answer = split([*SAMPLES[name]], of(name), tools=[])
    assert (answer.text, answer.calls) == (SAMPLES[name], [])


@pytest.mark.parametrize("name", FORMATS)
def test_an_opening_marker_in_prose_stays_and_what_follows_is_not_held_back(name: str) -> None:
    marker = of(name).tools.start  # type: ignore[union-attr]
    splitter = AnswerSplitter(of(name), tools=TOOLS)
    prose = f"Write `{marker}` before each of them, and only then"
    left = "".join(delta.text for char in prose for delta in splitter.push(char) if isinstance(delta, TextDelta))
    assert left == prose
    assert splitter.finish("stop") == []
    assert splitter.finish_reason == "stop"


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_that_was_cut_is_text_or_unfinished_json_and_never_looks_whole(name: str) -> None:
    sample = SAMPLES[name]
    whole = json.loads(split([sample], of(name)).calls[0][1])
    for end in range(1, len(sample)):
        answer = split([sample[:end]], of(name), cut=True)
        assert answer.finish == "length"
        if not answer.calls:
            assert answer.text == sample[:end]
            continue
        assert not answer.text
        try:
            assert json.loads(answer.calls[0][1]) == whole
        except ValueError:
            assert name in ("json_tools", "generic")


def marker_laden(name: str) -> st.SearchStrategy[str]:
    tools = of(name).tools
    assert tools is not None
    sample = SAMPLES[name]
    fragments = [
        *(sample, sample, sample[: len(sample) // 2], sample[len(sample) // 3 :], tools.start, tools.end),
        *("<think>", "</think>", "<thi", "\n", " ", "{", "}", "get_weather", '"', "some words", "STOP", "é🎉"),
        *tools.inner,
        *tools.last,
    ]
    return st.lists(st.sampled_from(fragments), max_size=8).map("".join)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30)  # for each of fifteen formats
@given(data=st.data())
def test_what_is_no_call_arrives_in_full(name: str, data: st.DataObject) -> None:
    text = data.draw(marker_laden(name))
    answer = split([*text], AnswerFormat(None, of(name).tools), cut=data.draw(st.booleans()))
    assert answer.calls or answer.text == text


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30)  # for each of fifteen formats
@given(data=st.data())
def test_any_split_gives_the_same_answer(name: str, data: st.DataObject) -> None:
    format = of(name)
    text = data.draw(marker_laden(name))
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    cut, parallel, opened = data.draw(st.booleans()), data.draw(st.booleans()), data.draw(st.booleans())
    options: dict[str, Any] = {"cut": cut, "parallel": parallel, "opened": opened}
    options["stop"] = data.draw(st.sampled_from([None, stop_matcher(("STOP", "}\n", "words\n"))]))
    borders = [0, *cuts, len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(borders)]
    expected = split([text], format, **options)
    assert split(pieces, format, **options) == expected
    assert split(list(text), format, **options) == expected


# ── JSON calls, as they come ────────────────────────────────────────────────────────────────────────────────────


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
def test_json_is_read_in_every_shape_whose_meaning_is_clear(body: str, arguments: Any) -> None:
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
def test_what_is_no_call_is_delivered_marker_and_all(body: str) -> None:
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


# ── reasoning ───────────────────────────────────────────────────────────────────────────────────────────────────


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
def test_reasoning_is_told_from_content(text: str, opened: bool, reasoning: str, content: str) -> None:
    for pieces in ([text], list(text)):
        answer = split(pieces, opened=opened)
        assert (answer.reasoning, answer.text, answer.finish) == (reasoning, content, "stop")


def test_a_call_inside_an_open_thought_is_made_and_a_mention_of_one_is_thought() -> None:
    answer = split([*f"<think>use <tool_call>, so: {call()}"])
    assert answer.arguments == [("get_weather", PARIS)]
    assert (answer.reasoning, answer.text) == ("use <tool_call>, so:", "")


def test_reasoning_tokens_are_counted_and_the_state_can_be_asked() -> None:
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
def test_the_channels_of_harmony_are_told_apart(text: str, answer: Answer) -> None:
    harmony = AnswerFormat(make_reasoning_format("harmony", None), make_tool_format("harmony", None))
    assert split([text], harmony) == split(list(text), harmony) == answer


# ── stop strings, and everything at once ────────────────────────────────────────────────────────────────────────


def test_stop_strings_count_in_content_alone() -> None:
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


def test_a_plain_answer_leaves_at_once_with_its_steps_and_log_probabilities() -> None:
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
    told = [token.token for d in deltas if isinstance(d, TextDelta) for token in d.logprobs or []]
    assert told == ["\n\n", "Yes", "!"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_piece_of_a_long_call_is_read_without_reading_the_rest_again(name: str) -> None:
    sample = SAMPLES[name].replace("Paris", "Paris " * 20_000)
    middle = len(sample) // 2
    splitter = AnswerSplitter(of(name), tools=TOOLS)
    for at in range(0, middle, 64):
        splitter.push(sample[at : min(at + 64, middle)])
    peaks = []
    tracemalloc.start()
    for char in sample[middle : middle + 10]:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        splitter.push(char)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    assert min(peaks) < 8 * 1024, "the text so far is tens of kilobytes"
    splitter.push(sample[middle + 10 :])
    splitter.finish("stop")
    assert splitter.finish_reason == "tool_calls"


@settings(max_examples=300)
@given(data=st.data())
def test_calls_with_slips_never_promise_more_than_they_hold(data: st.DataObject) -> None:
    text = call("get_weather", {"city": 'a "b" \\', "days": [1, {"x": None}, -2.5e3]}) + " and so on"
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.sampled_from(["", *'{}[]",:\\ \n0atu', "</tool_call>"])) + text[at + 1 :]
    cut = data.draw(st.booleans())
    whole, answer = split([text], cut=cut), split([*text], cut=cut)
    assert whole == answer
    assert answer.calls or answer.text.replace(" ", "") == text.replace(" ", "")
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
