"""The arithmetic behind the samplers: drawing tokens for many rows of logits together, each by its own settings."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Sequence

import attrs
import mlx.core as mx

from providers.engines.cpu.attention import exp
from providers.engines.sampling.top_p import first_kept, least_kept

__all__ = ["Drawing", "Filters", "candidate_count"]

_LEAST_CANDIDATES = 64
_RULED_OUT = -1e30
"""Logits at or below this are ruled out, even divided by the highest temperature."""
_ALL = 2.0
"""More than the sum of all probabilities."""


@attrs.frozen(kw_only=True)
class Filters:
    """Which tokens of a row may be drawn, and the temperature. `top_k` 0, `top_p` 1 and `min_p` 0 filter nothing."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0

    @property
    def filters(self) -> bool:
        return self.top_p < 1.0 or self.top_k > 0 or self.min_p > 0.0


def candidate_count(top_k: int) -> int:
    """How many of the likeliest tokens a row with this `top_k` is drawn from; 0 means all of them.

    It is a power of two, so that rows with nearly the same `top_k` are drawn together. It depends only on the row's own
    `top_k`, because it decides which token a number draws. On a GPU, where selecting costs as much as sorting, it is 0,
    so that all rows are drawn together.
    """
    if not top_k or mx.default_device() != mx.cpu:
        return 0
    return max(_LEAST_CANDIDATES, 1 << (top_k - 1).bit_length())


class Drawing:
    """Draws from rows of logits whose settings have the same `candidate_count`.

    Filters keep the tokens that mlx-lm's keep, in mlx-lm's order (`top_p`, `min_p`, `top_k`, then the temperature), and
    also tokens as likely as the least likely of them. The drawn token is the one at which the sum of probabilities, in
    the order of the vocabulary, passes a random number: noise for every token of the vocabulary would take several
    times as long.
    """

    __slots__ = ("_candidates", "_filtered", "_filters", "_floor", "_inverse", "_mass", "_top_k")

    def __init__(self, rows: Sequence[Filters]) -> None:
        """`rows`: the settings of each row of logits, or a single one for all rows."""
        (self._candidates,) = {candidate_count(row.top_k) for row in rows}
        self._inverse = _column(1.0 / row.temperature for row in rows)
        filtered = [place for place, row in enumerate(rows) if row.filters]
        self._filtered = mx.array(filtered) if 0 < len(filtered) < len(rows) else None
        """The rows that are filtered; None for all or none."""
        kept = [rows[place] for place in filtered]
        some = any(row.top_p < 1.0 for row in kept)
        self._mass = _column(row.top_p if row.top_p < 1.0 else _ALL for row in kept) if some else None
        self._top_k = [row.top_k for row in kept] if any(row.top_k for row in kept) else []
        self._filters = bool(kept)
        floors = [math.log(row.min_p) if row.min_p else -math.inf for row in kept]
        self._floor = _column(floors) if max(floors, default=-math.inf) > -math.inf else None

    def draw(self, logits: mx.array, numbers: mx.array) -> mx.array:
        """Logits (rows, vocabulary), normalised or not, and numbers from [0, 1), (rows, 1) → token ids (rows)."""
        logits = logits.astype(mx.float32)
        if self._candidates:
            count = min(self._candidates, logits.shape[-1])
            ids = mx.argpartition(logits, kth=-count, axis=-1)[:, -count:]
            few = self._filter(mx.take_along_axis(logits, ids, axis=-1), logits)
            return mx.take_along_axis(ids, self._pick(few, numbers)[:, None], axis=-1)[:, 0]
        if self._filtered is not None:
            rows = logits[self._filtered]
            logits[self._filtered] = self._filter(rows, rows)
        elif self._filters:
            logits = self._filter(logits, logits)
        return self._pick(logits, numbers)

    def _filter(self, rows: mx.array, whole: mx.array) -> mx.array:
        """Lower the logits that are ruled out.

        `rows`: (rows, candidates), the likeliest logits of `whole`, or all of them.
        """
        most = whole.max(axis=-1, keepdims=True)
        out: list[mx.array] = []
        if self._top_k:
            ascending = mx.sort(rows, axis=-1)
            count = rows.shape[-1]
            places = mx.array([max(0, count - (top_k or count)) for top_k in self._top_k])[:, None]
            if self._mass is not None:
                weights = _exp(ascending - most)
                total = (weights if rows is whole else _exp(whole - most)).sum(axis=-1, keepdims=True)
                places = mx.maximum(places, first_kept(weights, 0.0, self._mass * total))
            out.append(rows < mx.take_along_axis(ascending, places, axis=-1))
        elif self._mass is not None:
            weights = _exp(rows - most)
            out.append(weights < least_kept(weights, self._mass * weights.sum(axis=-1, keepdims=True)))
        if self._floor is not None:
            out.append(rows < most + self._floor)
        # On a CPU, `where` would take three times as long.
        return rows + functools.reduce(operator.or_, out) * _RULED_OUT

    def _pick(self, logits: mx.array, numbers: mx.array) -> mx.array:
        """The column of each row into which its number falls."""
        logits = logits * self._inverse
        weights = _exp(logits - logits.max(axis=-1, keepdims=True))
        up_to = mx.cumsum(weights, axis=-1)
        passed = (up_to <= numbers * up_to[:, -1:]).sum(axis=-1, keepdims=True)
        place = mx.minimum(passed, logits.shape[-1] - 1)
        # Rounding may lead to a neighbour that is ruled out; then draw the likeliest token.
        allowed = mx.take_along_axis(logits, place, axis=-1) > _RULED_OUT * 1e-10
        return mx.where(allowed[:, 0], place[:, 0], mx.argmax(weights, axis=-1))


def _exp(x: mx.array) -> mx.array:
    return exp(x) if mx.default_device() == mx.cpu else mx.exp(x)


def _column(values: Iterable[float]) -> mx.array:
    return mx.array([*values])[:, None]
