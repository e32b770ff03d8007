"""The division of texts into passages: sizes, overlap, boundaries, and that nothing is lost."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.retrieval import chunking
from server.retrieval.chunking import divide, sections, windows
from server.retrieval.tables.rows import Strategy


def starts(text: str) -> list[int]:
    """Every word is a token."""
    return [word.start() for word in re.finditer(r"\S+", text)]


def parts(text: str, size: int, overlap: int) -> list[str]:
    return [text[start:stop] for start, stop in divide(text, starts(text), Strategy(size, overlap))]


def test_a_short_text_is_one_passage() -> None:
    assert parts("  One two three.\n", 10, 5) == ["  One two three.\n"]


def test_passages_end_with_paragraphs_and_sentences() -> None:
    text = "A b c d e f g.\n\nH i j k l m n. O p q r s."
    assert parts(text, 9, 0) == ["A b c d e f g.\n\n", "H i j k l m n. ", "O p q r s."]
    assert parts("One two three four five six seven eight", 3, 0) == ["One two three ", "four five six ", "seven eight"]


def test_neighbours_overlap_from_the_start_of_a_sentence() -> None:
    text = " ".join(f"Sentence {n} has six words." for n in range(10))
    passages = parts(text, 20, 10)
    assert all(passage.startswith("Sentence") for passage in passages)
    for one, other in pairwise(passages):
        assert other.partition(".")[0] in one


def test_a_run_without_tokens_is_divided_too() -> None:
    text = "a" * 10_000
    passages = divide(text, [0], Strategy(10, 0))
    assert max(stop - start for start, stop in passages) <= 11 * chunking.LONGEST_TOKEN
    assert "".join(text[start:stop] for start, stop in passages) == text


@given(st.text(alphabet="ab .\n!", max_size=400), st.integers(1, 30), st.integers(0, 15))
def test_passages_cover_the_text_and_keep_their_size(text: str, size: int, overlap: int) -> None:
    strategy = Strategy(size, overlap).within(size)
    places = divide(text, starts(text), strategy)
    end = 0
    for start, stop in places:
        assert start <= end < stop or start == end == stop == 0
        assert len(starts(text[start:stop])) <= size + 1  # a word that is cut counts in both
        end = stop
    assert end == len(text)
    assert places == sorted(set(places))


@given(st.text(alphabet="ab ", max_size=300))
def test_sections_cover_the_text(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunking, "SECTION", 20)
        found = [*sections(text)]
    assert "".join(text[start:stop] for start, stop in found) == text
    assert all(stop - start <= 20 for start, stop in found)


def test_a_strategy_fits_the_model() -> None:
    assert Strategy().within(254) == Strategy(254, 127)
    assert Strategy(100, 20).within(254) == Strategy(100, 20)


def test_the_parts_with_vectors_cover_the_text_once_within_their_passages() -> None:
    text = " ".join(f"Sentence {n} has exactly nine words in all of it." for n in range(60))
    passages = divide(text, starts(text), Strategy(100, 50))
    parts = windows(text, starts(text), passages, 254)
    flat = sorted(part for those in parts for part in those)
    assert "".join(text[start:stop] for start, stop in flat) == text
    assert all(len(text[start:stop].split()) <= 48 for start, stop in flat)
    for (start, stop), those in zip(passages, parts, strict=True):
        assert those
        assert all(start <= one and other <= stop for one, other in those)
