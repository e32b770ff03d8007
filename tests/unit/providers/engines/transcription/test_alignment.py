"""Medians and time warping equal their definitions, element by element."""

from __future__ import annotations

from statistics import median

import mlx.core as mx
import numpy as np
import pytest

from providers.engines.transcription.alignment import dtw, median_filter

random = np.random.default_rng(3)


def cheapest(cost: np.ndarray) -> float:
    """The least sum over all paths, by the definition."""
    sums = np.full((cost.shape[0] + 1, cost.shape[1] + 1), np.inf)
    sums[0, 0] = 0
    for token, frame in np.ndindex(cost.shape):
        before = min(sums[token, frame], sums[token, frame + 1], sums[token + 1, frame])
        sums[token + 1, frame + 1] = cost[token, frame] + before
    return float(sums[-1, -1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (5, 12), (12, 5), (30, 200)])
def test_the_way_is_whole_and_the_cheapest(shape: tuple[int, int]) -> None:
    cost = random.standard_normal(shape)

    tokens, frames = dtw(cost.astype(np.float32))

    assert (tokens[0], frames[0], tokens[-1], frames[-1]) == (0, 0, shape[0] - 1, shape[1] - 1)
    steps = set(zip(np.diff(tokens).tolist(), np.diff(frames).tolist(), strict=True))
    assert steps <= {(1, 1), (1, 0), (0, 1)}
    assert cost[tokens, frames].sum() == pytest.approx(cheapest(cost), abs=1e-4)


def test_equal_ways_prefer_time() -> None:
    tokens, frames = dtw(np.zeros((2, 3), np.float32))

    assert list(zip(tokens.tolist(), frames.tolist(), strict=True)) == [(0, 0), (1, 0), (1, 1), (1, 2)]


def test_medians_are_those_of_the_neighbours_mirrored_at_the_ends() -> None:
    given = random.standard_normal((2, 3, 11)).astype(np.float32)
    mirrored = np.pad(given, ((0, 0), (0, 0), (3, 3)), mode="reflect")

    found = np.array(median_filter(mx.array(given), 7))

    for place in np.ndindex(given.shape):
        assert found[place] == median(mirrored[place[:2]][place[2] : place[2] + 7].tolist())


def test_what_is_shorter_than_half_the_filter_stays_as_it_is() -> None:
    assert median_filter(mx.zeros((1, 1, 3)), 7).shape == (1, 1, 3)
