"""Prompt look-up: what is proposed after a text, and how far it is trusted."""

from __future__ import annotations

from providers.engines.language.speculation.lookup import TextIndex


def test_look_up_proposes_what_followed_the_longest_and_latest_match() -> None:
    index = TextIndex()
    assert guess(index, [1, 2, 3, 4, 5], 4) == []
    assert guess(TextIndex(), [1, 2, 3, 4, 9, 2, 3, 7, 1, 2, 3], 2) == [4, 9]
    assert guess(TextIndex(), [1, 2, 3, 4, 9, 2, 3, 7, 1, 2, 3, 8, 2, 3], 3) == [8, 2, 3]
    assert guess(TextIndex(), [6, 1, 2, 1, 2, 1, 2], 5) == [1, 2, 1, 2, 1]
    assert guess(TextIndex(), [4, 2, 2, 2], 3) == [2, 2, 2]


def test_look_up_reads_a_text_piece_by_piece() -> None:
    text, piecewise = [1, 2, 3, 4, 9, 2, 3, 7, 1, 2, 3, 4, 9, 2, 3, 7], TextIndex()
    for end in range(1, len(text) + 1):
        assert guess(piecewise, text[:end], 3) == guess(TextIndex(), text[:end], 3)


def test_look_up_proposes_no_pictures() -> None:
    assert guess(TextIndex(), [1, 2, 3, -5, -6, 4, 1, 2], 4) == [3]
    assert guess(TextIndex(), [1, 2, -5, -6, 4, 1, 2], 4) == []


def test_look_up_proposes_less_after_a_wrong_guess_and_more_after_a_right_one() -> None:
    index, text = TextIndex(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3]
    index.settle(guess(index, text, 6), 1)
    assert guess(index, text, 6) == [4, 5]
    index.settle([4, 5], 2)
    assert guess(index, text, 6) == [4, 5, 6, 7]


def test_look_up_trusts_a_text_that_repeats_itself_and_doubts_one_that_does_not() -> None:
    repeating, changing = TextIndex(), TextIndex()
    for end in range(4, 28):
        repeating.read(([1, 2, 3] * 9)[:end])
    for follower in range(10, 30):
        text = [token for each in range(10, follower) for token in (1, 2, each)]
        changing.read([*text, 1, 2])
    assert repeating.acceptance.share > 0.8
    assert changing.acceptance.share < 0.2


def guess(index: TextIndex, text: list[int], count: int) -> list[int]:
    index.read(text[:-1])
    return index.guess(text[:-1], text[-1], count)
