"""Marks in answers: which are citations, wherever the text is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.grounding.citations import Cited, Marks, cited

PASSAGES = ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No mark.", []),
        ("Bees dance [1].", [Cited(11, "a")]),
        ("é [2] and [3]", [Cited(2, "b"), Cited(10, "c")]),
        ("[1][2]", [Cited(0, "a"), Cited(3, "b")]),
        ("Both [1, 3].", [Cited(5, "a"), Cited(5, "c")]),
        ("[0] [4] [99] [1000] [x] [1", []),
        ("[[1]]", [Cited(1, "a")]),
        ("list[i] = [1, 9]", [Cited(10, "a")]),
    ],
)
def test_marks_of_passages_are_citations(text: str, expected: list[Cited[str]]) -> None:
    assert cited(text, PASSAGES) == expected


def test_without_passages_nothing_is_cited() -> None:
    assert cited("[1]", ()) == []


@given(st.lists(st.sampled_from(["[", "]", "1", "2", "9", ",", " ", "word", "[1]", "[2, 3]"]), max_size=30), st.data())
def test_pieces_are_cited_as_their_whole(words: list[str], data: st.DataObject) -> None:
    text = "".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    marks = Marks(PASSAGES)
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert [each for piece in pieces for each in marks.add(piece)] == cited(text, PASSAGES)
