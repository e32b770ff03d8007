"""Top-p without sorting keeps what sorting keeps."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.sample_utils import apply_top_p

from providers.engines.sampling.top_p import SORTED, least_kept


def logprobs(rows: int, width: int, spread: float) -> mx.array:
    drawn = mx.random.normal((rows, width), key=mx.random.key(width)) * spread
    return drawn - mx.logsumexp(drawn, axis=-1, keepdims=True)


@pytest.mark.parametrize("width", [5, 1024, 1025, 9000, 32_000, 49_152])
@pytest.mark.parametrize("spread", [0.1, 2.0, 8.0], ids=["flat", "spread", "peaked"])
@pytest.mark.parametrize("top_p", [1e-6, 0.1, 0.5, 0.9, 0.999])
def test_what_is_kept_is_what_mlx_lm_keeps(width: int, spread: float, top_p: float) -> None:
    given = logprobs(3, width, spread)

    kept = np.array(mx.exp(given) >= least_kept(mx.exp(given), mx.array(top_p)))
    expected = np.isfinite(np.array(apply_top_p(given, top_p)))

    # Sums in another order may differ by a rounding, and so by the tokens whose mass is smaller than that.
    differing = np.exp(np.array(given))[kept != expected].sum()
    assert differing < 1e-4
    assert kept.sum(axis=-1).min() >= 1


def test_tokens_that_are_ruled_out_stay_out_and_equals_stay_together() -> None:
    given = np.full((1, 4096), -np.inf, dtype=np.float32)
    given[0, [7, 9, 4000]] = np.log(np.array([0.4, 0.4, 0.2], dtype=np.float32))

    kept = np.flatnonzero(np.array(mx.exp(mx.array(given)) >= least_kept(mx.exp(mx.array(given)), mx.array(0.3))))

    assert kept.tolist() == [7, 9]


def test_a_token_that_is_not_needed_to_reach_the_mass_is_out() -> None:
    assert least_kept(mx.array([[0.25, 0.5, 0.25]]), mx.array(0.5)).tolist() == [[0.5]]
    assert least_kept(mx.array([[0.25, 0.5, 0.125]]), mx.array(0.75)).tolist() == [[0.25]]


@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="a GPU sorts in order to select")
@pytest.mark.parametrize("width", [1000, 1024, 1025, 1500, 9000, 49_152])
def test_a_large_vocabulary_is_not_sorted(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sort, sorted_widths = mx.sort, []

    def noted(weights: mx.array, *, axis: int) -> mx.array:
        sorted_widths.append(weights.shape[-1])
        return sort(weights, axis=axis)

    monkeypatch.setattr(mx, "sort", noted)
    least_kept(mx.exp(logprobs(2, width, 2.0)), mx.array(0.5))
    (found,) = sorted_widths
    assert found == width if width <= SORTED else found <= SORTED
