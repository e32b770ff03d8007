"""Positions of tokens in time, height and width, as Qwen2-VL counts them: one more layer of the cache.

A picture's tokens have the place before the picture plus their place in its grid. The text after it goes on behind the
largest of these numbers. So a token's position does not follow from how many come before it. The layer keeps, for each
token, the position of the text after it: whatever copies, cuts, merges or divides caches treats positions in the same
way, and the model object keeps nothing of a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import KVCache

from providers.engines.vision.pictures import Found, Grid

__all__ = ["PositionCache", "advance"]


class PositionCache(KVCache):
    """A `KVCache` in kind, and a class of its own: options that change keys and values leave it as it is."""


def advance(cache: Any, shape: Sequence[int], found: Sequence[Found]) -> mx.array:
    """Positions (3, sequences, tokens) of the next tokens of every sequence, which the layer then knows.

    Args:
        cache: the layer: a `PositionCache`, or what mlx-lm makes of several.
        shape: sequences and tokens.
        found: the pictures among them, as `SeeingModel` finds them.
    """
    sequences, tokens = shape
    before = _last(cache, sequences)
    if not found:
        places = before + mx.arange(tokens, dtype=mx.int32)[None]
        after = places + 1
        positions = mx.broadcast_to(places[None], (3, sequences, tokens))
    else:
        steps, offsets = _of_pictures(sequences, tokens, found)
        after = before + mx.array(np.cumsum(steps, axis=1, dtype=np.int32))
        positions = (after - mx.array(steps))[None] + mx.array(offsets)
    column = after[:, None, :, None]
    cache.update_and_fetch(column, column)
    return positions


def _last(cache: Any, sequences: int) -> mx.array:
    """The position after the last token of each sequence, (sequences, 1)."""
    if not cache.empty():
        keys: mx.array = cache.keys_and_values()[0]
        # A batch that has lost its longer sequences may have room and no tokens.
        if keys.shape[2]:
            return keys[:, 0, -1:, 0]
    return mx.zeros((sequences, 1), dtype=mx.int32)


def _of_pictures(sequences: int, tokens: int, found: Sequence[Found]) -> tuple[np.ndarray, np.ndarray]:
    """By how much each token advances the text after it, and its place in its picture's grid."""
    steps = np.ones((sequences, tokens), dtype=np.int32)
    offsets = np.zeros((3, sequences, tokens), dtype=np.int32)
    for picture, line, places, rows in found:
        grid = picture.expansion.grid
        assert grid is not None
        steps[line, places] = np.where(rows == picture.expansion.count - 1, max(grid), 0)
        offsets[:, line, places] = _in_grid(rows, grid)
    return steps, offsets


def _in_grid(rows: np.ndarray, grid: Grid) -> np.ndarray:
    return np.stack(np.unravel_index(rows, grid)).astype(np.int32)
