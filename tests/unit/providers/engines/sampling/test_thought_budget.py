"""The processor that ends a thought, by itself: which tokens it allows after each token that is fed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mlx.core as mx
import pytest

from providers.engines.output.markup import make_reasoning_format
from providers.engines.output.parser import AnswerFormat, AnswerSplitter
from providers.engines.sampling.thinking_budget import ThoughtBudget, ThoughtLimit

TEXTS = ["a", "b", "<think>", "</th", "ink>", "é"]
"""Of each token; that of `HALF` begins a character and that of `REST` ends it."""
OPEN, END = 2, (3, 4)
HALF, REST = 6, 5
WIDTH = 8
LOGITS = mx.array([[float(place) for place in range(WIDTH)]])


class Spelling:
    """A detokeniser of these tokens."""

    def __init__(self) -> None:
        self.is_whole = True

    def add(self, token: int) -> str:
        self.is_whole = token != HALF
        return "" if token == HALF else TEXTS[token]

    def flush(self) -> str:
        return ""


def budget(
    tokens: int,
    *,
    start: tuple[int, ...] = (OPEN,),
    end: tuple[int, ...] = END,
    opened: bool = False,
    reopens: bool = False,
) -> ThoughtBudget:
    splitter = AnswerSplitter(AnswerFormat(reasoning=make_reasoning_format("think", None)), opened=opened)
    return ThoughtBudget(ThoughtLimit(tokens=tokens, start=start, end=end), splitter, Spelling(), reopens=reopens)


def allowed(processor: ThoughtBudget, fed: Sequence[int]) -> list[int]:
    """The tokens that may follow after a step has fed the last of these to the sequence."""
    row = processor(mx.array([9, *fed]), LOGITS)[0].tolist()
    assert all(value in (-math.inf, 0.0, float(place)) for place, value in enumerate(row))
    return [place for place, value in enumerate(row) if value != -math.inf]


def followed(processor: ThoughtBudget, *fed: int) -> list[list[int]]:
    """What was allowed at the prompt's own step, and after each token."""
    return [allowed(processor, fed[:count]) for count in range(len(fed) + 1)]


ANY = list(range(WIDTH))


def test_the_end_marker_is_forced_after_as_many_tokens_as_are_allowed() -> None:
    steps = followed(budget(3), OPEN, 0, 1, *END)
    assert steps == [ANY, ANY, ANY, [3], [4], [*range(2), *range(3, WIDTH)]]


def test_a_thought_that_the_prompt_opens_has_the_whole_budget() -> None:
    assert followed(budget(2, opened=True), 0, 1, *END)[:4] == [ANY, ANY, [3], [4]]
    assert allowed(budget(0, opened=True), []) == [3]


def test_a_thought_that_ends_by_itself_is_left_alone_and_so_is_what_follows() -> None:
    processor = budget(5)
    assert followed(processor, OPEN, 0, *END, 0, OPEN, 0, 0, 0, 0, 0, 0) == [ANY] * 13


def test_a_character_that_has_begun_is_completed_first() -> None:
    assert followed(budget(2), OPEN, HALF, REST) == [ANY, ANY, ANY, [3]]


def test_no_thought_begins_right_after_the_one_that_was_ended() -> None:
    processor = budget(1, reopens=True)
    *_, after = followed(processor, OPEN, *END)
    assert after == [place for place in ANY if place != OPEN]


def test_a_thought_may_begin_again_once_the_answer_has_if_the_format_has_only_one() -> None:
    *_, answered = followed(budget(1), OPEN, *END, 0)
    assert answered == ANY
    *_, answered = followed(budget(1, reopens=True), OPEN, *END, 0)
    assert answered == [place for place in ANY if place != OPEN]


def test_a_start_marker_of_several_tokens_is_not_ruled_out() -> None:
    *_, after = followed(budget(1, start=(OPEN, 0)), OPEN, *END)
    assert after == ANY


def test_a_second_thought_has_what_is_left() -> None:
    assert followed(budget(5), OPEN, *END, OPEN, 0, *END)[:7] == [*[ANY] * 5, [3], [4]]


def test_without_an_end_marker_there_is_no_limit() -> None:
    assert followed(budget(0, end=(), opened=True), 0, 0) == [ANY] * 3


@pytest.mark.parametrize("moved", [1, 2, 3, 4])
def test_an_answer_that_moves_to_another_batch_goes_on_as_if_it_had_stayed(moved: int) -> None:
    fed = [OPEN, 0, 1, *END]
    stayed = followed(budget(3), *fed)
    processor = budget(3)
    processor.replay(fed[:moved])
    assert [allowed(processor, fed[:count]) for count in range(moved + 1, len(fed) + 1)] == stayed[moved + 1 :]


class Batch:
    """The tokens of a batch, by the sequence's number."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.token = -1
        self.launches = 0

    def launch(self, logits: mx.array) -> None:
        assert logits is LOGITS
        self.launches += 1

    def read(self, uid: int) -> int:
        assert uid == self.uid
        return self.token


def test_tokens_are_read_from_the_batch_that_it_follows() -> None:
    processor, batch = budget(1), Batch(uid=5)
    processor.follow(batch, 5)  # type: ignore[arg-type]
    assert allowed(processor, []) == ANY
    batch.token = OPEN
    assert allowed(processor, [0]) == [3]
    assert batch.launches == 2
    for batch.token in END:
        allowed(processor, [0, 0])
    batch.token = 0
    for _ in range(3):
        assert allowed(processor, [0, 0]) == ANY
    assert batch.launches == 5, "an answer that has begun needs no reading"
