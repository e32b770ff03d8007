"""Stop strings: content ends before the first of them, however it is cut into pieces."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from providers.engines.output.stop import StopSplitter, stop_matcher


def run(pieces: list[str], stops: tuple[str, ...]) -> tuple[str, str | None]:
    splitter = StopSplitter(stop_matcher(stops))
    text = "".join(splitter.push(piece) for piece in pieces)
    return (text, splitter.found) if splitter.found else (text + splitter.flush(), None)


def earliest(text: str, stops: tuple[str, ...]) -> tuple[str, str | None]:
    """The expected result of `run`, found slowly: the stop string that ends first, and the longest of those."""
    ends = [(text.find(stop) + len(stop), -len(stop)) for stop in stops if stop in text]
    if not ends:
        return text, None
    end, length = min(ends)
    return text[: end + length], text[end + length : end]


letters = st.text(alphabet="abc\n", max_size=30)
stop_strings = st.lists(st.text(alphabet="abc\n", min_size=1, max_size=5), min_size=1, max_size=4).map(tuple)


@given(text=letters, stops=stop_strings, cuts=st.lists(st.integers(0, 30), max_size=6))
def test_any_split_of_the_text_gives_the_same_answer(text: str, stops: tuple[str, ...], cuts: list[int]) -> None:
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(borders)]
    assert run(pieces, stops) == earliest(text, stops)


@given(text=letters, stops=stop_strings)
def test_only_what_may_become_a_stop_string_is_held_back(text: str, stops: tuple[str, ...]) -> None:
    splitter = StopSplitter(stop_matcher(stops))
    left = "".join(splitter.push(char) for char in text)
    if splitter.found is None:
        held = text[len(left) :]
        beginnings = {stop[:length] for stop in stops for length in range(len(stop))}
        assert held in beginnings


def test_a_thousand_stop_strings_work() -> None:
    stops = tuple(f"stop number {number:04d}" for number in range(1000))
    assert run(["so we ", "stop num", "ber 0", "777 here"], stops) == ("so we ", "stop number 0777")


def test_nothing_is_matched_across_a_flush() -> None:
    splitter = StopSplitter(stop_matcher(("stop",)))
    assert splitter.push("a st") == "a "
    assert splitter.flush() == "st"
    assert splitter.push("op it") == "op it"
    assert splitter.push("stop it") == ""
    assert splitter.found == "stop"


def test_matchers_of_long_strings_do_not_pile_up() -> None:
    short = stop_matcher(("stop",))
    assert stop_matcher(("stop",)) is short
    long = [tuple(f"{number} {each} ".ljust(1024, "x") for each in range(16)) for number in range(6)]
    first = stop_matcher(long[0])
    assert stop_matcher(long[0]) is first
    for strings in long[1:]:
        stop_matcher(strings)
    assert stop_matcher(long[0]) is not first
