"""Which token a random number draws."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.sample_utils import apply_min_p, apply_top_k, apply_top_p

from providers.engines.sampling import cuda_kernels, host_kernels
from providers.engines.sampling.cuda_kernels import CudaDrawing
from providers.engines.sampling.kernels import Drawing
from providers.engines.sampling.settings import Settings

SHARES = [0.1, 0.2, 0.3, 0.4]
LOGITS = mx.array([[math.log(share) for share in SHARES]])


@pytest.fixture(params=["host", "device", *(["cuda"] if cuda_kernels.available() else [])], autouse=True)
def kernel(request: pytest.FixtureRequest) -> str:
    """What draws in this test: numpy, the operations for a GPU, or the kernel for CUDA."""
    global _kernel
    _kernel = str(request.param)
    return _kernel


_kernel = "host"


def together(rows: list[Settings], logits: mx.array, chances: list[tuple[float, float]]) -> list[int]:
    """The token that each row's numbers draw."""
    if _kernel == "host":
        lines = np.array(logits.astype(mx.float32))
        return [host_kernels.draw(*each) for each in zip(lines, rows, chances, strict=True)]
    drawing = CudaDrawing(rows) if _kernel == "cuda" else Drawing(rows)
    found: list[int] = drawing.draw(logits, chances).tolist()  # type: ignore[assignment]
    return found


def drawn(filters: Settings, numbers: list[float], logits: mx.array = LOGITS, xtc: float = 0.0) -> list[int]:
    """The tokens that these numbers draw from one row of logits."""
    return [together([filters], logits, [(number, xtc)])[0] for number in numbers]


def test_a_number_draws_the_token_at_which_the_sum_of_probabilities_passes_it() -> None:
    numbers = [0.0, 0.09, 0.11, 0.29, 0.31, 0.59, 0.61, 0.9999]
    assert drawn(Settings(), numbers) == [0, 0, 1, 1, 2, 2, 3, 3]
    for shift in (7.0, 200.0, -200.0):
        assert drawn(Settings(), numbers, LOGITS + shift) == [0, 0, 1, 1, 2, 2, 3, 3], "logits need not be normalised"


def test_the_temperature_divides_the_logits() -> None:
    # At one half the probabilities are squared: 1, 4, 9 and 16 of 30.
    assert drawn(Settings(temperature=0.5), [0.03, 0.04, 0.16, 0.17, 0.46, 0.47]) == [0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Settings(top_k=1), {3}),
        (Settings(top_k=2), {2, 3}),
        (Settings(top_k=3), {1, 2, 3}),
        (Settings(top_k=4), {0, 1, 2, 3}),
        (Settings(top_k=900), {0, 1, 2, 3}),
        (Settings(top_p=0.39), {3}),
        (Settings(top_p=0.41), {2, 3}),
        (Settings(top_p=0.91), {0, 1, 2, 3}),
        (Settings(min_p=0.8), {3}),
        (Settings(min_p=0.7), {2, 3}),
        (Settings(min_p=0.1), {0, 1, 2, 3}),
        (Settings(top_k=3, top_p=0.41), {2, 3}),
        (Settings(top_k=1, top_p=0.91), {3}),
        (Settings(top_k=3, min_p=0.7), {2, 3}),
        (Settings(top_p=0.91, min_p=0.7), {2, 3}),
    ],
    ids=str,
)
def test_only_tokens_that_are_left_are_drawn(filters: Settings, kept: set[int]) -> None:
    numbers = [place / 64 for place in range(64)] + [0.99999994]
    assert set(drawn(filters, numbers)) == kept


def test_tokens_as_likely_as_the_least_likely_that_is_left_are_left_too() -> None:
    equal = mx.array([[0.0, 1.0, 1.0, 1.0]])
    numbers = [place / 64 for place in range(64)]
    assert set(drawn(Settings(top_k=2), numbers, equal)) == {1, 2, 3}


def test_rows_of_several_settings_are_drawn_each_by_its_own() -> None:
    rows = [
        Settings(),
        Settings(top_p=0.39),
        Settings(temperature=0.5),
        Settings(min_p=0.7),
        Settings(top_p=0.41, min_p=0.8),
    ]
    numbers = [0.05, 0.05, 0.03, 0.05, 0.05]
    found = together(rows, mx.repeat(LOGITS, len(rows), axis=0), [(number, 0.0) for number in numbers])
    assert found == [0, 3, 0, 2, 3]
    assert found == [drawn(row, [number])[0] for row, number in zip(rows, numbers, strict=True)]


@pytest.mark.parametrize("filters", [Settings(top_p=0.39), Settings(min_p=0.8)], ids=str)
def test_the_only_filter_of_a_batch_is_for_its_own_row(filters: Settings) -> None:
    both = mx.repeat(LOGITS, 2, axis=0)
    assert together([Settings(), filters], both, [(0.05, 0.0)] * 2) == [0, 3]


def test_a_row_without_top_p_keeps_its_least_likely_tokens_beside_one_with_it() -> None:
    # The second token weighs too little to change the sum, and is likely at a high temperature.
    row = mx.array([[0.0, -20.0]])
    rows = [Settings(top_p=0.5), Settings(min_p=1e-12, temperature=10.0)]
    assert together(rows, mx.repeat(row, 2, axis=0), [(0.95, 0.0)] * 2) == [0, 1]


def test_top_p_is_a_share_of_the_whole_vocabulary_beside_top_k() -> None:
    # Ten likely tokens weigh a quarter of all 300, so that top_p rules out none of them.
    likely = [math.log(10.0 + place / 10) for place in range(10)]
    numbers = [place / 64 for place in range(64)]
    assert set(drawn(Settings(top_k=10, top_p=0.5), numbers, mx.array([[*likely, *[0.0] * 290]]))) == set(range(10))


def test_half_precision_is_summed_in_full() -> None:
    wide = mx.zeros((1, 8192)).astype(mx.float16)
    assert drawn(Settings(), [0.5, 0.75], wide) == [4096, 6144]


def test_greedy_rows_take_the_first_of_the_likeliest_beside_others() -> None:
    rows = [Settings(temperature=0.0), Settings(), Settings(top_k=1, min_p=0.5), Settings(top_p=0.0), Settings(top_k=2)]
    logits = mx.array([[1.0, 3.0, 2.999999, 3.0, -math.inf]] * len(rows))
    greedy = together(rows, logits, [(0.0, 1.0), (0.05, 0.0), (0.0, 1.0), (0.0, 1.0), (0.9, 0.0)])
    assert greedy == [1, 1, 1, 1, 3]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (Settings(xtc_probability=0.5, xtc_threshold=0.15), {0, 1}),
        (Settings(xtc_probability=0.5, xtc_threshold=0.25), {0, 1, 2}),
        (Settings(xtc_probability=0.5, xtc_threshold=0.5), {0, 1, 2, 3}),
        (Settings(xtc_probability=0.5, xtc_threshold=0.25, top_k=2, temperature=2.0), {1, 2}),
        (Settings(xtc_probability=0.5, xtc_threshold=0.15, min_p=0.3), {1}),
        (Settings(xtc_probability=0.5, xtc_threshold=0.3, top_p=0.5, top_k=3), {2}),
        (Settings(xtc_probability=0.5, xtc_threshold=0.15, temperature=0.001), {1}),
    ],
    ids=str,
)
def test_xtc_leaves_the_least_likely_top_choice_and_what_is_below_it(filters: Settings, kept: set[int]) -> None:
    """At a low temperature too, at which the tokens that are left weigh nothing beside the excluded ones."""
    numbers = [place / 64 for place in range(64)]
    assert set(drawn(filters, numbers, xtc=0.4)) == kept
    assert 3 in drawn(filters, numbers, xtc=0.6), "not excluded this time"


def test_a_row_that_excludes_top_choices_changes_no_other_row() -> None:
    rows = [Settings(), Settings(xtc_probability=1.0, xtc_threshold=0.15), Settings(top_k=2)]
    assert together(rows, mx.repeat(LOGITS, 3, axis=0), [(0.99, 0.0), (0.99, 0.0), (0.99, 0.0)]) == [3, 1, 3]


@pytest.mark.parametrize("width", [5, 1024, 1025, 9000, 49_152])
@pytest.mark.parametrize("spread", [0.1, 2.0, 8.0], ids=["flat", "spread", "peaked"])
@pytest.mark.parametrize(
    "filters",
    [
        Settings(top_p=1e-6),
        Settings(top_p=0.5),
        Settings(top_p=0.9),
        Settings(top_p=0.999),
        Settings(top_k=40),
        Settings(top_k=3000, top_p=0.5),
        Settings(top_k=20, top_p=0.9, min_p=0.01),
    ],
    ids=str,
)
def test_in_large_vocabularies_a_number_draws_what_it_draws_among_mlx_lms(
    width: int, spread: float, filters: Settings
) -> None:
    given = mx.random.normal((1, width), key=mx.random.key(width)) * spread
    left = given - mx.logsumexp(given, axis=-1, keepdims=True)
    if filters.top_p < 1:
        left = apply_top_p(left, filters.top_p)
    if filters.min_p:
        left = apply_min_p(left, filters.min_p)
    if 0 < filters.top_k < width:
        left = apply_top_k(left, filters.top_k)
    weights = np.exp(np.array(left[0], dtype=np.float64))
    up_to = np.cumsum(weights) / weights.sum()

    for number in (0.0, 0.1, 0.35, 0.7, 0.99):
        (token,) = drawn(filters, [number], given)
        # Sums in another order may differ by a rounding.
        assert up_to[token] > number - 1e-4
        assert token == 0 or up_to[token - 1] < number + 1e-4
        assert weights[token] > 0


def test_a_row_that_is_not_a_number_has_a_token_all_the_same() -> None:
    for filters in (Settings(), Settings(top_p=0.5), Settings(min_p=0.1), Settings(top_k=2)):
        (token,) = drawn(filters, [0.5], mx.array([[math.nan, 1.0, 2.0]]))
        assert 0 <= token < 3
