"""Drawing one token from one row of logits with numpy.

MLX's operations on a Linux CPU handle one number at a time: the exponentials of 49,152 logits take 0.25 to 0.6 ms, and
numpy's 0.02.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from providers.engines.sampling.settings import Settings

__all__ = ["draw", "likeliest", "log_sum_exp"]

Row = np.ndarray[Any, np.dtype[np.float32]]
"""Numbers of one row: (tokens)."""

_BLOCK = 256
"""Tokens whose weights are summed before the sums are."""
_SORTED = 1024
"""The most weights to sort."""


def draw(logits: Row, settings: Settings, chance: tuple[float, float]) -> int:
    """The token that these numbers draw: the one at which the sum of probabilities, in the order of the vocabulary,
    passes the first number."""
    likeliest = int(logits.argmax())
    most = float(logits[likeliest])
    if settings.greedy or not math.isfinite(most):
        return likeliest
    number, xtc = chance
    excludes = xtc < settings.xtc_probability
    least = _least_kept(logits, most, settings, excludes)
    if least == -math.inf and not excludes:
        return _pick(logits, settings.temperature, number)
    kept = np.flatnonzero(logits >= least)
    if excludes:
        kept = _without_top_choices(kept, logits, settings)
    return int(kept[_pick(logits[kept], settings.temperature, number)])


def _least_kept(logits: Row, most: float, settings: Settings, excludes: bool) -> float:
    """The least logit that `top_p`, `min_p` and `top_k` keep; `top_k` is left for later if XTC excludes tokens."""
    least = most + math.log(settings.min_p) if settings.min_p else -math.inf
    top_k = 0 if excludes else settings.top_k
    if top_k:
        least = max(least, _nth(logits, top_k))
    if settings.top_p < 1.0:
        weights = np.exp(logits - most)
        mass = settings.top_p * float(weights.sum())
        heaviest = weights[logits >= least] if top_k else _heaviest(weights, mass)
        last = _last_of_mass(heaviest, mass)
        if last:
            least = max(least, float(logits[weights >= last].min()))
    return least


def _without_top_choices(
    kept: np.ndarray[Any, np.dtype[np.intp]], logits: Row, settings: Settings
) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Exclude top choices: drop all tokens over the threshold but the least likely of them. Then apply `top_k`."""
    values = logits[kept]
    weights = np.exp(values - values.max())
    over = weights > settings.xtc_threshold * weights.sum()
    if over.any():
        left = weights <= weights[over].min()
        kept, values = kept[left], values[left]
    if 0 < settings.top_k < len(kept):
        kept = kept[values >= _nth(values, settings.top_k)]
    return kept


def _nth(values: Row, nth: int) -> float:
    """The `nth` largest of the values; the least if there are fewer."""
    nth = min(nth, len(values))
    return float(np.partition(_of_large_blocks(values, nth), -nth)[-nth])


def _of_large_blocks(values: Row, count: int) -> Row:
    """Some of the values, among them the `count` largest: those not less than the maxima of `count` blocks."""
    blocks = len(values) // _BLOCK
    if count * 4 > blocks:
        return values
    maxima = values[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=-1)
    found: Row = values[values >= np.partition(maxima, -count)[-count]]
    return found


def _heaviest(weights: Row, mass: float) -> Row:
    """Some of the weights, among them the smallest set of the heaviest that together weigh `mass`."""
    bound = 1e-2
    while bound > 1e-9:
        some = weights[weights >= bound]
        if float(some.sum(dtype=np.float64)) >= mass:
            return some
        bound /= 8
    return weights


def _last_of_mass(weights: Row, mass: float) -> float:
    """The least weight in the smallest set of the heaviest weights that together weigh `mass`; 0 if all weigh less.

    Halves the weights while they are many: if the upper half weighs enough, that weight is in it, else in the other.
    """
    above = 0.0
    while len(weights) > _SORTED:
        half = len(weights) // 2
        weights = np.partition(weights, half)
        upper = float(weights[half:].sum(dtype=np.float64))
        if above + upper >= mass:
            weights = weights[half:]
        else:
            above += upper
            weights = weights[:half]
    descending = np.sort(weights)[::-1]
    place = int(np.searchsorted(above + np.cumsum(descending, dtype=np.float64), mass))
    return float(descending[place]) if place < len(descending) else 0.0


def _pick(logits: Row, temperature: float, number: float) -> int:
    """The place into which the number falls."""
    count = len(logits)
    blocks = -(-count // _BLOCK)
    weights = np.zeros(blocks * _BLOCK, dtype=np.float32)
    used = weights[:count]
    np.subtract(logits, logits.max(), out=used)
    np.multiply(used, np.float32(1.0 / temperature), out=used)
    np.exp(used, out=used)
    up_to = np.cumsum(weights.reshape(blocks, _BLOCK).sum(axis=-1), dtype=np.float64)
    target = number * up_to[-1]
    block = int(np.searchsorted(up_to, target, side="right"))
    begin = block * _BLOCK
    inside = weights[begin : begin + _BLOCK]
    before = up_to[block - 1] if block else 0.0
    place = int(np.searchsorted(np.cumsum(inside, dtype=np.float64), target - before, side="right"))
    if place == _BLOCK:  # The block's sum was rounded up.
        place = int(np.flatnonzero(inside)[-1])
    return begin + place


def log_sum_exp(logits: Row) -> float:
    """The logarithm of the sum of the exponentials."""
    most = float(logits.max())
    return most + math.log(float(np.exp(logits - most).sum(dtype=np.float64)))


def likeliest(logits: Row, count: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """The places of the `count` largest logits, the larger first, and equal ones by place."""
    found = np.flatnonzero(logits >= _nth(logits, count))
    return found[np.lexsort((found, -logits[found]))][:count]
