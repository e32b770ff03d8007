"""The times of words, by mlx-audio's alignment, whose two loops numpy computes in whole rows.

mlx-audio 0.6.2 takes medians frame by frame, and warps time element by element. Measured for a window of 200 tokens and
10 attention heads on one core: 0.78 and 0.32 s; here 0.20 and 0.02 s, with the same results. Delete these functions
when mlx-audio's are as fast.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
from mlx_audio.stt.models.whisper import timing

__all__ = ["add_word_timestamps"]

Matrix = np.ndarray[Any, np.dtype[np.float32]]
BOTH, TEXT, TIME = 0, 1, 2
"""Steps of the warping: to the next token and the next frame, or to one of them."""


def median_filter(x: mx.array, filter_width: int) -> mx.array:
    """Medians of each place's neighbours along the last axis, mirrored at its ends. `filter_width` is odd."""
    length, half = x.shape[-1], filter_width // 2
    if length <= half:
        return x
    padded = np.pad(np.array(x, np.float32), ((0, 0), (0, 0), (half, half)), mode="reflect")
    neighbours = np.stack([padded[..., shift : shift + length] for shift in range(filter_width)])
    neighbours.sort(axis=0)
    return mx.array(neighbours[half])


def dtw(cost: Matrix) -> np.ndarray[Any, Any]:
    """The cheapest path through a matrix of tokens and frames: two rows of indices, one of tokens and one of frames.

    Places of one antidiagonal depend only on the two before it, and are computed together. If two of the three steps to
    a place are equally cheap, the path advances in time, as in OpenAI's program.
    """
    tokens, frames = cost.shape
    flat = np.ascontiguousarray(cost).ravel()
    steps = np.zeros((tokens + 1, frames + 1), np.int8)
    flat_steps = steps.ravel()
    before_last = np.full(tokens + 1, np.inf, np.float32)
    before_last[0] = 0
    last = np.full(tokens + 1, np.inf, np.float32)
    for diagonal in range(2, tokens + frames + 1):
        low, high = max(1, diagonal - frames), min(tokens, diagonal - 1)
        count = high - low + 1
        both, text, time = before_last[low - 1 : high], last[low - 1 : high], last[low : high + 1]
        step = np.where((both < text) & (both < time), BOTH, np.where((text < both) & (text < time), TEXT, TIME))
        place = (low - 1) * frames + diagonal - low - 1
        own = flat[place : place + (count - 1) * (frames - 1) + 1 : max(1, frames - 1)]
        sums = np.full(tokens + 1, np.inf, np.float32)
        sums[low : high + 1] = own + np.where(step == BOTH, both, np.where(step == TEXT, text, time))
        place = low * (frames + 1) + diagonal - low
        flat_steps[place : place + (count - 1) * frames + 1 : frames] = step
        before_last, last = last, sums
    steps[0, :], steps[:, 0] = TIME, TEXT
    return _way_back(steps)


def _way_back(steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    token, frame = steps.shape[0] - 1, steps.shape[1] - 1
    way = []
    while token > 0 or frame > 0:
        way.append((token - 1, frame - 1))
        step = steps[token, frame]
        token -= step != TIME
        frame -= step != TEXT
    return np.array(way)[::-1].T


timing.median_filter = median_filter
timing.dtw = dtw
add_word_timestamps = timing.add_word_timestamps
