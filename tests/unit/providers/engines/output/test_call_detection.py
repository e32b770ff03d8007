"""The stage that reads tool calls, by itself."""

from __future__ import annotations

from typing import Literal

import pytest

from providers.chat.types import Tool
from providers.engines.output.call_detection import CallArguments, CallReader, CallStart, Step
from providers.engines.output.markup import GENERIC_TOOLS, ToolFormat, make_tool_format

MARKUP = make_tool_format("qwen3_coder", None)
CLOCK = "<function=now>\n</function>"


def reader(format: ToolFormat | None = GENERIC_TOOLS, *, parallel: bool = True) -> CallReader:
    made = CallReader(format, [Tool("now")], parallel=parallel)
    made.open("<tool_call>")
    return made


def test_arguments_come_as_they_are_written_and_the_end_marker_is_left() -> None:
    calls = reader()
    assert calls.feed('{"name": "now"') == Step("more")
    assert not calls.started
    assert calls.feed(', "arguments": {"a": ') == Step("more", parts=(CallStart("now"), CallArguments('{"a": ')))
    assert calls.feed("1}}</tool_call>") == Step("call", "</tool_call>", (CallArguments("1}"),))
    assert (calls.is_open, calls.started, calls.broken) == (False, True, False)


def test_other_markup_is_read_when_it_is_whole() -> None:
    calls = reader(MARKUP)
    assert calls.feed(f"\n{CLOCK}\n</tool_c") == Step("more")
    assert calls.feed("all> and") == Step("call", " and", [CallStart("now"), CallArguments("{}")])


def test_text_that_is_not_a_call_is_returned_from_the_marker_on() -> None:
    calls = reader()
    assert calls.feed('{"name": ') == Step("more")
    assert calls.feed('"then"} and') == Step("text", '{"name": "then"} and')
    assert (calls.is_open, calls.started) == (False, False)


def test_a_call_that_breaks_off_is_not_whole() -> None:
    calls = reader()
    calls.feed('{"name": "now", "arguments": {"a": ')
    assert calls.finish(cut=True) == Step("cut")
    assert calls.broken


@pytest.mark.parametrize("text", ["", '{"na', '{"name": "no'])
def test_what_may_become_a_call_is_dropped_only_where_the_answer_was_cut(text: str) -> None:
    verdicts: list[tuple[bool, Literal["cut", "text"]]] = [(True, "cut"), (False, "text")]
    for cut, verdict in verdicts:
        calls = reader()
        assert calls.feed(text) == Step("more")
        assert calls.finish(cut=cut) == Step(verdict, "" if cut else text)


@pytest.mark.parametrize(("parallel", "count"), [(True, 2), (False, 1)])
def test_only_the_first_of_several_calls_counts_where_one_is_allowed(parallel: bool, count: int) -> None:
    step = reader(MARKUP, parallel=parallel).feed(f"{CLOCK}\n{CLOCK}</tool_call>")
    assert step == Step("call", "", [CallStart("now"), CallArguments("{}")] * count)
