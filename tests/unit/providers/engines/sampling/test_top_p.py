"""Top-p without sorting keeps what sorting keeps."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.sample_utils import apply_top_p

from providers.engines.sampling.top_p import least_kept


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
