"""Calls in every format: the same parts, however the text is cut into pieces."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.chat.types import TextDelta
from providers.engines.output.markup import tool_format_names
from providers.engines.output.parser import AnswerFormat, AnswerSplitter
from providers.engines.output.stop import stop_matcher
from tests.unit.providers.engines.split_answers import (
    CLOCK,
    FORMATS,
    PARIS,
    SAMPLES,
    TOOLS,
    of,
    split,
)


def test_every_parser_of_mlx_lm_has_a_sample_here() -> None:
    assert {*SAMPLES, "auto", "none", "harmony"} == set(tool_format_names())


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_becomes_name_and_arguments_and_leaves_no_markup(name: str) -> None:
    answer = split(["I will look.\n", *SAMPLES[name]], of(name))
    assert answer.arguments == [("get_weather", PARIS)]
    assert (answer.text, answer.finish) == ("I will look.\n", "tool_calls")


@pytest.mark.parametrize("name", FORMATS)
def test_two_calls_in_a_row_are_two_calls(name: str) -> None:
    answer = split([SAMPLES[name], "\n", SAMPLES[name].replace("Paris", "Rome")], of(name))
    assert answer.arguments == [("get_weather", PARIS), ("get_weather", {"city": "Rome", "days": 2})]
    assert answer.text == ""


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_that_repeats_an_earlier_one_ends_the_answer_and_is_not_sent(name: str) -> None:
    other = SAMPLES[name].replace("Paris", "Rome")
    for pieces in ([SAMPLES[name], other, SAMPLES[name], other], [*SAMPLES[name], *other, *SAMPLES[name], *other]):
        answer = split(pieces, of(name), cut=True)
        assert answer.arguments == [("get_weather", PARIS), ("get_weather", {"city": "Rome", "days": 2})]
        assert (answer.text, answer.finish, answer.stopped) == ("", "tool_calls", True)


@pytest.mark.parametrize("name", FORMATS)
def test_a_repeat_that_was_cut_is_not_sent_either(name: str) -> None:
    for end in range(1, len(SAMPLES[name])):
        answer = split([*SAMPLES[name], *SAMPLES[name][:end]], of(name), cut=True)
        assert answer.arguments == [("get_weather", PARIS)]


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
@pytest.mark.parametrize("parallel", [True, False])
def test_a_call_that_was_cut_is_nothing_or_unfinished_json_and_never_looks_whole(name: str, parallel: bool) -> None:
    sample = SAMPLES[name]
    whole = json.loads(split([sample], of(name)).calls[0][1])
    for end in range(1, len(sample)):
        answer = split(["So: ", sample[:end]], of(name), cut=True, parallel=parallel)
        # One character begins too many words to be taken for markup.
        assert answer.text == ("So: " if end > 1 else f"So: {sample[0]}")
        if answer.stopped:
            assert (answer.arguments, answer.finish) == ([("get_weather", whole)], "tool_calls")
            continue
        assert answer.finish == "length"
        if not answer.calls:
            continue
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
def test_text_that_is_not_a_call_arrives_in_full(name: str, data: st.DataObject) -> None:
    text = data.draw(marker_laden(name))
    cut = data.draw(st.booleans())
    answer = split([*text], AnswerFormat(None, of(name).tools), cut=cut)
    assert answer.calls or answer.text == text or (cut and begins_a_call(name, text, answer.text))


def begins_a_call(name: str, text: str, left: str) -> bool:
    """Whether what is missing after `left` is a marker, or the beginning of one, and what follows it."""
    tools = of(name).tools
    assert tools is not None
    dropped = text[len(left) :]
    return text.startswith(left) and (dropped.startswith(tools.start) or tools.start.startswith(dropped))


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
