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
"""The most weights to sort without further ado."""
_BIN = 16
"""The last bits of a float32 that make no difference to its bin: with 7 others of the mantissa, a bin spans 0.8 %."""


def draw(logits: Row, settings: Settings, chance: tuple[float, float]) -> int:
    """The token that these numbers draw: the one at which the sum of probabilities, in the order of the vocabulary,
    passes the first number."""
    likeliest = int(logits.argmax())
    most = float(logits[likeliest])
    if settings.greedy or not math.isfinite(most):
        return likeliest
    number, xtc = chance
    excludes = xtc < settings.xtc_probability
    least, upper = _least_kept(logits, most, settings, excludes), math.inf
    if excludes:
        least, upper = _without_top_choices(logits, most, least, settings)
    if (least, upper) == (-math.inf, math.inf):
        return _pick(logits, settings.temperature, number)
    kept = logits >= least if upper == math.inf else (logits >= least) & (logits <= upper)
    if np.count_nonzero(kept) * 8 > len(logits):
        return _pick(np.where(kept, logits, np.float32(-math.inf)), settings.temperature, number)
    places = np.flatnonzero(kept)
    return int(places[_pick(logits[places], settings.temperature, number)])


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


def _without_top_choices(logits: Row, most: float, least: float, settings: Settings) -> tuple[float, float]:
    """Exclude top choices: all tokens over the threshold but the least likely of them. Then apply `top_k`.

    Returns the least and the largest logit that are left, of those from `least`.
    """
    weights = np.exp(logits - most)
    if least > -math.inf:
        weights[logits < least] = 0.0
    over = weights > settings.xtc_threshold * weights.sum()
    upper = float(logits[over].min()) if over.any() else math.inf
    if settings.top_k:
        left = logits[(logits >= least) & (logits <= upper)]
        least = max(least, _nth(left, settings.top_k))
    return least, upper


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

    Many weights are counted in bins, those of the same first bits in one, and only the bin in question is sorted.
    """
    above = 0.0
    if len(weights) > _SORTED:
        bins = weights.view(np.int32) >> _BIN
        up_to = np.cumsum(np.bincount(bins, weights)[::-1])
        place = int(np.searchsorted(up_to, mass))
        if place == len(up_to):
            return 0.0
        above = float(up_to[place - 1]) if place else 0.0
        weights = weights[bins == len(up_to) - 1 - place]
    descending = np.sort(weights)[::-1]
    place = int(np.searchsorted(above + np.cumsum(descending, dtype=np.float64), mass))
    # Sums in another order may differ by a rounding.
    return float(descending[min(place, len(descending) - 1)]) if above or place < len(descending) else 0.0


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
