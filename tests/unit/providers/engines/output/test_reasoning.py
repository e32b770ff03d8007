"""The stage that separates thoughts from content, by itself."""

from __future__ import annotations

from providers.engines.output.markup import GENERIC_TOOLS, make_reasoning_format
from providers.engines.output.reasoning import (
    CallOpening,
    Content,
    Section,
    SectionSplitter,
    SectionStart,
    Thought,
)

THINK = make_reasoning_format("think", None)


def read(splitter: SectionSplitter, *pieces: str) -> list[Section]:
    return [section for piece in pieces for section in splitter.feed(piece)]


def test_sections_come_without_markers_and_the_white_space_around_them() -> None:
    sections = read(SectionSplitter(THINK, None), "<thi", "nk>\nhm", " \n</think>\n", "\nYes ", "and no")
    assert sections == [SectionStart(), Thought("hm"), SectionStart(), Content("Yes "), Content("and no")]


def test_white_space_is_held_back_until_it_is_known_to_be_content() -> None:
    splitter = SectionSplitter(THINK, None)
    assert splitter.feed("  ") == []
    assert splitter.feed("Yes") == [Content("  Yes")]
    blank = SectionSplitter(THINK, None)
    assert blank.feed(" \n") == []
    assert blank.finish() == [Content(" \n")]


def test_reading_stops_where_a_call_may_open() -> None:
    splitter = SectionSplitter(THINK, GENERIC_TOOLS)
    assert splitter.feed("So: <tool_call>{<think>") == [Content("So: "), CallOpening("<tool_call>", "{<think>")]
    assert splitter.not_a_call("<tool_call>") == [Content("<tool_call>")]
    assert read(splitter, "<tool_call>") == [CallOpening("<tool_call>", "")]
    assert splitter.after_call() == [SectionStart()]
    assert read(splitter, "\n</tool_call>\n", "Done") == [Content("Done")]


def test_a_call_that_a_thought_only_mentions_is_part_of_the_thought() -> None:
    splitter = SectionSplitter(THINK, GENERIC_TOOLS, opened=True)
    assert splitter.in_thought
    assert splitter.feed("use <tool_call>") == [Thought("use"), CallOpening("<tool_call>", "")]
    assert splitter.not_a_call("<tool_call>") == [Thought(" <tool_call>")]


def test_text_that_passes_is_content_and_changes_nothing() -> None:
    splitter = SectionSplitter(THINK, GENERIC_TOOLS)
    assert not splitter.passes("Yes")
    splitter.feed("Yes")
    assert splitter.passes(", it is")
    assert not splitter.passes("a < b")
    assert splitter.feed(", it is") == [Content(", it is")]
    assert splitter.feed("<") == []
    assert not splitter.passes("no")
