"""A growing text is cut where a voice can begin, and nothing of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.spoken.stretches import LONGEST, Stretch, StretchCutter


def cut(*deltas: str) -> list[Stretch]:
    cutter = StretchCutter()
    found = [stretch for delta in deltas for stretch in cutter.feed(delta)]
    return [*found, *cutter.finish()]


def texts(*deltas: str) -> list[str]:
    return [stretch.text for stretch in cut(*deltas)]


@pytest.mark.parametrize(
    ("text", "stretches"),
    [
        (
            "The capital of France is Paris. It lies on the Seine.",
            ["The capital of France is Paris. ", "It lies on the Seine."],
        ),
        (
            "Of all the cities of France, Paris is the largest, and the oldest. It is old, and large.",
            ["Of all the cities of France, ", "Paris is the largest, and the oldest. ", "It is old, and large."],
        ),
        ("Yes. I do think that it is so.", ["Yes. I do think that it is so."]),
        ("I asked Dr. Smith and J. Doe for it. They knew.", ["I asked Dr. Smith and J. Doe for it. ", "They knew."]),
        ("It costs 3.50 euros in the shop. Cheap.", ["It costs 3.50 euros in the shop. ", "Cheap."]),
        ('She said "It is over." Then she left.', ['She said "It is over." ', "Then she left."]),
        ("**Cats are quiet animals.** Dogs are loud.", ["**Cats are quiet animals.** ", "Dogs are loud."]),
        ("1. Cats are quiet animals\n2. Dogs are loud", ["1. Cats are quiet animals\n", "2. Dogs are loud"]),
        (
            "Here is the program.\n```python\nprint(1). \n\nprint(2)\n```\nIt prints two lines.",
            ["Here is the program.\n", "```python\nprint(1). \n\nprint(2)\n```\n", "It prints two lines."],
        ),
        ("\u732b\u306f\u9759\u304b\u306a\u52d5\u7269\u3067\u3059\u3088\u306d\u3048\u3002\u72ac\u3082\u3002", [
            "\u732b\u306f\u9759\u304b\u306a\u52d5\u7269\u3067\u3059\u3088\u306d\u3048\u3002", "\u72ac\u3082\u3002"
        ]),
    ],
)  # fmt: skip
def test_a_text_is_cut_after_sentences_and_its_first_clause(text: str, stretches: list[str]) -> None:
    assert texts(text) == stretches


def test_a_stretch_is_there_as_soon_as_its_end_is_certain() -> None:
    cutter = StretchCutter()
    assert list(cutter.feed("The capital of France is Paris.")) == []
    assert list(cutter.feed(" It")) == [Stretch("The capital of France is Paris. ", 0)]
    assert list(cutter.finish()) == [Stretch("It", 32)]


def test_a_sentence_without_an_end_is_cut_after_a_clause() -> None:
    clause = "and so on and so forth, "
    found = texts("Well then my friends, " + clause * 40)
    assert all(len(text) <= LONGEST + len(clause) for text in found)
    assert all(text.endswith(", ") for text in found)


@given(st.lists(st.text(st.sampled_from("aB1 .,!?;\n`~*\u2014\u3002\"'"), max_size=40), max_size=12))
def test_every_character_is_in_one_stretch_however_the_text_arrives(deltas: list[str]) -> None:
    found = cut(*deltas)
    assert "".join(stretch.text for stretch in found) == "".join(deltas)
    assert [stretch.start for stretch in found] == [
        sum(len(earlier.text) for earlier in found[:number]) for number in range(len(found))
    ]
    assert found == cut("".join(deltas))
