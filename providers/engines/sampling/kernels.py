"""Drawing tokens for many rows of logits together, each by its own settings, in few operations on a GPU.

On CUDA it is one kernel (`cuda_kernels`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence

import mlx.core as mx
import numpy as np

from providers.engines.sampling import cuda_kernels
from providers.engines.sampling.settings import Settings

__all__ = ["Drawing", "drawing_of"]

_ALL = 2.0
"""More than the sum of all probabilities."""
_GREEDY = 1e30
"""The inverse of a temperature at which only the largest logit has a weight."""


def drawing_of(rows: Sequence[Settings]) -> Drawing | cuda_kernels.CudaDrawing:
    """What draws from rows of logits by these settings; a single one is for all rows."""
    return cuda_kernels.CudaDrawing(rows) if cuda_kernels.available() else Drawing(rows)


class Drawing:
    """Draws from rows of logits.

    The drawn token is the one at which the sum of probabilities, in the order of the vocabulary, passes a random
    number: noise for every token of the vocabulary would take several times as long. A greedy row is one at a
    temperature of nearly 0 with the number 0, so that rows of all kinds take the same operations. Only rows with
    `top_p`, `top_k` or XTC are sorted.
    """

    __slots__ = ("_columns", "_excluding", "_sorting", "_thresholds")

    def __init__(self, rows: Sequence[Settings]) -> None:
        """`rows`: the settings of each row of logits, or a single one for all rows."""
        inverse = [_GREEDY if row.greedy else 1.0 / row.temperature for row in rows]
        floors = [math.log(row.min_p) if row.min_p and not row.greedy else -math.inf for row in rows]
        self._columns = [_column(inverse), _column(floors)]
        some = [place for place, row in enumerate(rows) if _is_sorted(row)]
        chosen = [rows[place] for place in some]
        self._excluding = [(place, row.xtc_probability) for place, row in zip(some, chosen, strict=True)]
        self._thresholds = [row.xtc_threshold for row in chosen]
        self._sorting: list[mx.array] = []
        if some:
            places = np.full(len(rows), len(some), dtype=np.int32)
            places[some] = np.arange(len(some))
            masses = [row.top_p if row.top_p < 1.0 else _ALL for row in chosen]
            tops = mx.array([row.top_k or 2**30 for row in chosen], dtype=mx.int32)[:, None]
            self._sorting = [mx.array(some), mx.array(places), _column(masses), tops]

    def draw(self, logits: mx.array, chances: Sequence[tuple[float, float]]) -> mx.array:
        """Logits (rows, vocabulary), normalised or not, and two numbers from [0, 1) per row → token ids (rows)."""
        numbers = _column(number for number, _ in chances)
        if not self._sorting:
            return _drawing(False, False, False)(logits, numbers, *self._columns)
        single = len(self._columns[0]) == 1 < len(chances)
        excluding, thresholds = self._excluding, self._thresholds
        if single:
            excluding = [(place, excluding[0][1]) for place in range(len(chances))]
            thresholds *= len(chances)
        excluded = [
            threshold if chances[place][1] < probability else math.inf
            for (place, probability), threshold in zip(excluding, thresholds, strict=True)
        ]
        some, places, *limits = self._sorting
        arguments = [logits, numbers, *self._columns, *limits]
        parts = not single and len(some) < len(chances)
        arguments += [some, places] if parts else []
        excludes = min(excluded) < math.inf
        arguments += [_column(excluded)] if excludes else []
        return _drawing(True, parts, excludes)(*arguments)


def _is_sorted(row: Settings) -> bool:
    return not row.greedy and (row.top_p < 1.0 or row.top_k > 0 or row.xtc_probability > 0.0)


@functools.cache
def _drawing(filters: bool, parts: bool, excludes: bool) -> Callable[..., mx.array]:
    """The operations for rows of which some are filtered, and only a part of them, and some exclude top choices."""

    def draw(logits: mx.array, numbers: mx.array, inverse: mx.array, floor: mx.array, *limits: mx.array) -> mx.array:
        logits = logits.astype(mx.float32)
        most = logits.max(axis=-1, keepdims=True)
        floor = most + floor
        if not filters:
            return _pick(logits, floor, None, most, inverse, numbers)
        mass, top_k, *others = limits
        highest = others.pop() if excludes else None
        if not parts:
            least, upper = _bounds(logits, floor, mass, top_k, highest)
        else:
            some, places = others
            least, upper = _bounds(logits[some], floor[some], mass, top_k, highest)
            least = mx.concatenate([least, mx.array([[-math.inf]])])[places]
            upper = None if upper is None else mx.concatenate([upper, mx.array([[math.inf]])])[places]
        return _pick(logits, mx.maximum(least, floor), upper, most, inverse, numbers)

    # Compiled, operations on single numbers are one kernel together.
    return mx.compile(draw)


def _bounds(
    logits: mx.array, floor: mx.array, mass: mx.array, top_k: mx.array, threshold: mx.array | None
) -> tuple[mx.array, mx.array | None]:
    """The least and the largest logit of each row that filters keep; None: no row excludes top choices.

    `threshold`: the share of probability that a top choice has; infinite for rows that exclude none.
    """
    count = logits.shape[-1]
    ascending = mx.sort(logits, axis=-1)
    weights = mx.exp(ascending - ascending[:, -1:])
    heavier = mx.cumsum(weights, axis=-1, reverse=True, inclusive=False)
    total = heavier[:, :1] + weights[:, :1]
    first = mx.minimum((heavier >= mass * total).sum(axis=-1, keepdims=True), count - 1)
    if threshold is None:
        first = mx.maximum(first, count - top_k)
        return mx.take_along_axis(ascending, first, axis=-1), None
    least = mx.maximum(mx.take_along_axis(ascending, first, axis=-1), floor)
    weights = mx.where(ascending >= least, weights, 0.0)
    over = weights > threshold * weights.sum(axis=-1, keepdims=True)
    upper = mx.where(over, ascending, math.inf).min(axis=-1, keepdims=True)
    left = (ascending <= upper).sum(axis=-1, keepdims=True)
    return mx.maximum(least, mx.take_along_axis(ascending, mx.maximum(left - top_k, 0), axis=-1)), upper


def _pick(
    logits: mx.array, least: mx.array, upper: mx.array | None, most: mx.array, inverse: mx.array, numbers: mx.array
) -> mx.array:
    """The column of each row into which its number falls, among the logits from `least` to `upper`."""
    kept = logits >= least
    if upper is not None:
        kept = kept & (logits <= upper)
        most = mx.minimum(most, upper)
    weights = mx.where(kept, mx.exp((logits - most) * inverse), 0.0)
    up_to = mx.cumsum(weights, axis=-1)
    passed = up_to > numbers * up_to[:, -1:]
    # The first column that is passed and has a weight: rounded sums may pass at one that is ruled out, or at none.
    return mx.argmax(mx.where(weights > 0.0, 1.0 + passed, 0.0), axis=-1)


def _column(values: Iterable[float]) -> mx.array:
    return mx.array(np.array([*values], dtype=np.float32)[:, None])
