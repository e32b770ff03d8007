"""Which token a random number draws."""

from __future__ import annotations

import math

import mlx.core as mx
import pytest

from providers.engines.sampling.kernels import Drawing, Filters, candidate_count

SHARES = [0.1, 0.2, 0.3, 0.4]
LOGITS = mx.array([[math.log(share) for share in SHARES]])


def drawn(filters: Filters, numbers: list[float], logits: mx.array = LOGITS) -> list[int]:
    """The tokens that these numbers draw from one row of logits."""
    drawing = Drawing([filters])
    return [drawing.draw(logits, mx.array([[number]])).item() for number in numbers]


@pytest.mark.parametrize(
    ("top_k", "count"), [(0, 0), (1, 64), (63, 64), (64, 64), (65, 128), (128, 128), (129, 256), (1000, 1024)]
)
def test_a_row_is_drawn_from_a_power_of_two_of_candidates(top_k: int, count: int) -> None:
    assert candidate_count(top_k) == count


def test_a_number_draws_the_token_at_which_the_sum_of_probabilities_passes_it() -> None:
    numbers = [0.0, 0.09, 0.11, 0.29, 0.31, 0.59, 0.61, 0.9999]
    assert drawn(Filters(), numbers) == [0, 0, 1, 1, 2, 2, 3, 3]
    for shift in (7.0, 200.0, -200.0):
        assert drawn(Filters(), numbers, LOGITS + shift) == [0, 0, 1, 1, 2, 2, 3, 3], "logits need not be normalised"


def test_the_temperature_divides_the_logits() -> None:
    # At one half the probabilities are squared: 1, 4, 9 and 16 of 30.
    assert drawn(Filters(temperature=0.5), [0.03, 0.04, 0.16, 0.17, 0.46, 0.47]) == [0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Filters(top_k=1), {3}),
        (Filters(top_k=2), {2, 3}),
        (Filters(top_k=3), {1, 2, 3}),
        (Filters(top_k=4), {0, 1, 2, 3}),
        (Filters(top_k=900), {0, 1, 2, 3}),
        (Filters(top_p=0.39), {3}),
        (Filters(top_p=0.41), {2, 3}),
        (Filters(top_p=0.91), {0, 1, 2, 3}),
        (Filters(min_p=0.8), {3}),
        (Filters(min_p=0.7), {2, 3}),
        (Filters(min_p=0.1), {0, 1, 2, 3}),
        (Filters(top_k=3, top_p=0.41), {2, 3}),
        (Filters(top_k=1, top_p=0.91), {3}),
        (Filters(top_k=3, min_p=0.7), {2, 3}),
        (Filters(top_p=0.91, min_p=0.7), {2, 3}),
    ],
    ids=str,
)
def test_only_tokens_that_are_left_are_drawn(filters: Filters, kept: set[int]) -> None:
    numbers = [place / 64 for place in range(64)] + [0.99999994]
    assert set(drawn(filters, numbers)) == kept


def test_tokens_as_likely_as_the_least_likely_that_is_left_are_left_too() -> None:
    equal = mx.array([[0.0, 1.0, 1.0, 1.0]])
    numbers = [place / 64 for place in range(64)]
    assert set(drawn(Filters(top_k=2), numbers, equal)) == {1, 2, 3}


def test_rows_of_several_settings_are_drawn_each_by_its_own() -> None:
    rows = [
        Filters(),
        Filters(top_p=0.39),
        Filters(temperature=0.5),
        Filters(min_p=0.7),
        Filters(top_p=0.41, min_p=0.8),
    ]
    numbers = [0.05, 0.05, 0.03, 0.05, 0.05]
    found = Drawing(rows).draw(mx.repeat(LOGITS, len(rows), axis=0), mx.array(numbers)[:, None]).tolist()
    assert found == [0, 3, 0, 2, 3]
    assert found == [drawn(row, [number])[0] for row, number in zip(rows, numbers, strict=True)]


@pytest.mark.parametrize("filters", [Filters(top_p=0.39), Filters(min_p=0.8)], ids=str)
def test_the_only_filter_of_a_batch_is_for_its_own_row(filters: Filters) -> None:
    both = mx.repeat(LOGITS, 2, axis=0)
    assert Drawing([Filters(), filters]).draw(both, mx.array([[0.05], [0.05]])).tolist() == [0, 3]


def test_a_row_without_top_p_keeps_its_least_likely_tokens_beside_one_with_it() -> None:
    # The second token weighs too little to change the sum, and is likely at a high temperature.
    row = mx.array([[0.0, -20.0]])
    rows = [Filters(top_p=0.5), Filters(min_p=1e-12, temperature=10.0)]
    assert Drawing(rows).draw(mx.repeat(row, 2, axis=0), mx.array([[0.95], [0.95]])).tolist() == [0, 1]


def test_top_p_is_a_share_of_the_whole_vocabulary_beside_top_k() -> None:
    # Ten likely tokens weigh a quarter of all 300, so that top_p rules out none of them.
    likely = [math.log(10.0 + place / 10) for place in range(10)]
    numbers = [place / 64 for place in range(64)]
    assert set(drawn(Filters(top_k=10, top_p=0.5), numbers, mx.array([[*likely, *[0.0] * 290]]))) == set(range(10))


def test_half_precision_is_summed_in_full() -> None:
    wide = mx.zeros((1, 8192)).astype(mx.float16)
    assert drawn(Filters(), [0.5, 0.75], wide) == [4096, 6144]
