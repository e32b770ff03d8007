"""Attention and SwiGLU for language models on the Linux CPU, with exponentials computed by `power` and by numpy.

MLX: `exp` takes 15 ns per value, softmax and sigmoid as much or more, `power` 6 ns. In float32, softmax and SwiGLU took
half of a prompt's prefill (585 ms of 256 tokens), the products of all weights the other half (740 ms).
Here: `power` computes the exponentials of both. Those of prompts are numpy's (0.5 ns), and those of scores lie in their
memory, of which a block at a time stays in the processor's cache: attention of 35 tokens behind 2,300 takes 94 ms of
processor time in 30 layers instead of 211, and SwiGLU of 256 tokens 11 instead of 59. Heads that share keys are rows of
one product, so that the BLAS packs those keys once and not once per head. Results agree with mlx-lm's to float32
rounding.
Gain: prefill of 128 to 1,024 tokens takes 0.83 of the time. A decode step in a batch takes 93, 131 and 151 ms behind
1,000, 2,000 and 3,500 tokens instead of 133, 161 and 213 (`docs/performance.md`).
Delete when: MLX's `exp`, softmax and sigmoid take at most 6 ns per value on a CPU, and its attention packs shared keys
once.
"""

from __future__ import annotations

import functools
import itertools
import math
import sys
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models import activations, base
from numpy.typing import NDArray

from providers.engines.process.mlx_lm_internals.layers import replace_function

__all__ = ["attention", "exp", "join", "later_ones", "mix", "swiglu", "use_fast_exponentials"]

Array = NDArray[np.float32]

_LEAST = -80.0
"""Its exponential is nothing beside 1, and still a normal float32. Arithmetic on subnormal numbers is slow."""
_FEW = 8
_FAR = 256
"""With fewer queries (`_FEW`) and positions (`_FAR`), as in decoding a short text, calls cost more than they gain."""

_MANY = 1 << 15
"""Exponentials of prompts that numpy computes. Fewer cost less than evaluating their arguments here."""

_BLOCK = 1 << 18
"""Scores that are turned into exponentials together: 1 MB, which stays in the processor's cache."""
_LEAST_ROWS = 32
"""Of one product. With fewer, the BLAS spends more time on the order of the keys than on the product."""
_NEAR = 40.0
"""The exponentials of rows whose largest score is at most this far from 0 are summed as they are. So are all of the
embedded model: their largest scores are -1.5 to 21, and their smallest ones at least -75."""
_HIDDEN = -1e30
"""Added to a score whose exponential is to be 0."""

_mlx_attention: Any = base.scaled_dot_product_attention
_mlx_swiglu: Any = activations.swiglu


def use_fast_exponentials(model: Any, device: str) -> None:
    """Make a model on the Linux CPU call these functions. They leave other types than float32 to mlx-lm's own."""
    if device != "cpu" or not sys.platform.startswith("linux"):
        return
    replace_function(model, "scaled_dot_product_attention", _mlx_attention, attention)
    replace_function(model, "swiglu", _mlx_swiglu, swiglu)


def exp(x: mx.array) -> mx.array:
    """The exponential of float32 numbers that are at most 0."""
    return mx.power(math.e, mx.maximum(x, _LEAST))


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """mlx-lm's `swiglu`. Arguments of prompts are (batch, length, width)."""
    if gate.dtype != mx.float32:
        return _mlx_swiglu(gate, x)  # type: ignore[no-any-return]
    if gate.ndim > 2 and gate.shape[-2] >= _FEW and gate.size >= _MANY:
        return _many_swiglu(gate, x)
    return gate / (1.0 + mx.power(math.e, -gate)) * x


def _many_swiglu(gate: mx.array, x: mx.array) -> mx.array:
    mx.eval(gate, x)
    gates = np.asarray(gate)
    with np.errstate(over="ignore"):
        result = np.exp(-gates)
    result += 1.0
    np.divide(gates, result, out=result)
    result *= np.asarray(x)
    return mx.array(result)


def attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    cache: Any,
    scale: float,
    mask: mx.array | str | None,
    sinks: mx.array | None = None,
) -> mx.array:
    """mlx-lm's `scaled_dot_product_attention`.

    Args:
        queries: (batch, heads, length, width).
        keys: (batch, shared heads, positions, width); the heads are a multiple of the shared ones.
        values: as `keys`.
        mask: `causal`, booleans or summands that broadcast to (batch, heads, length, positions), or None.
    """
    batch, heads, length, width = queries.shape
    several_masks = isinstance(mask, mx.array) and mask.ndim > 2 and mask.shape[-3] > 1
    others = queries.dtype != mx.float32 or sinks is not None or hasattr(cache, "bits") or several_masks
    if others or (length < _FEW and keys.shape[2] < _FAR):
        return _mlx_attention(  # type: ignore[no-any-return]
            queries, keys, values, cache=cache, scale=scale, mask=mask, sinks=sinks
        )
    shared = keys.shape[1]
    # Heads that share keys are rows of one product, which reads the keys once.
    rows = heads // shared * length
    if length >= _FEW and batch * heads * length * keys.shape[2] >= _MANY:
        return _many(queries * scale, keys, values, mask)
    scores = (queries * scale).reshape(batch, shared, rows, width) @ keys.swapaxes(-1, -2)
    if mask is not None:
        apart = (batch, shared, heads // shared, length, keys.shape[2])
        scores = (scores.reshape(apart) + _summands(mask, length, keys.shape[2])).reshape(scores.shape)
    weights = exp(scores - scores.max(axis=-1, keepdims=True))
    sums = weights.sum(axis=-1, keepdims=True)
    mixed = (weights @ values) / sums
    return mixed.reshape(batch, heads, length, values.shape[-1])


def _many(queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | str | None) -> mx.array:
    """Attention of many scaled queries, in numpy."""
    batch, heads, length, _ = queries.shape
    mx.eval(queries, keys, values)
    pairs = np.asarray(keys), np.asarray(values)
    mixed = np.empty((batch, length, heads, values.shape[-1]), np.float32)
    hidden = _hidden(mask, length, keys.shape[2])
    for place, some in enumerate(np.asarray(queries)):
        of_one = hidden if hidden is None or hidden.ndim < 3 else hidden[min(place, len(hidden) - 1)]
        mix(some, [(pairs[0][place], pairs[1][place])], of_one, mixed[place].swapaxes(0, 1))
    return mx.array(mixed).swapaxes(1, 2)


def mix(
    queries: Array,
    parts: Sequence[tuple[Array, Array]],
    hidden: Array | None,
    mixed: Array,
    logarithms: Array | None = None,
) -> None:
    """Write the mean of all values, weighted for each query.

    Args:
        queries: (heads, length, width), scaled.
        parts: keys and values, each (shared heads, positions, width), of which every position follows those of the
            part before.
        hidden: summands of the scores of the last positions, (length, positions). All queries see the positions before.
        mixed: what is written, (heads, length, width).
        logarithms: if given, those of the sums of the exponentials of scores are written here, (heads, length).
    """
    heads, length, width = queries.shape
    shared = len(parts[0][0])
    ends = [*itertools.accumulate(keys.shape[1] for keys, _ in parts)]
    together = heads // shared
    step = max(-(-_LEAST_ROWS // together), _BLOCK // (together * ends[-1]))
    scores = np.empty((together * min(step, length), ends[-1]), np.float32)
    ones = np.ones(ends[-1], np.float32)
    for head, begin in itertools.product(range(shared), range(0, length, step)):
        some = slice(head * together, (head + 1) * together), slice(begin, begin + step)
        block = queries[some]
        # Heads that share keys are rows of one product, which reads the keys once.
        rows = block.reshape(-1, width)
        weights = scores[: len(rows)]
        for (keys, _), end in zip(parts, ends, strict=True):
            np.matmul(rows, keys[head].T, out=weights[:, end - keys.shape[1] : end])
        less = _weigh(weights, None if hidden is None else hidden[some[1]], together)
        means = weights[:, : ends[0]] @ parts[0][1][head]
        for (_, values), begun, end in zip(parts[1:], ends, ends[1:], strict=False):
            means += weights[:, begun:end] @ values[head]
        sums = weights @ ones
        means /= sums[:, None]
        mixed[some] = means.reshape(*block.shape[:2], -1)
        if logarithms is not None:
            logarithms[some] = (np.log(sums) + less).reshape(block.shape[:2])


def join(mixed: Array, others: Array, logarithms: Array, of_others: Array) -> None:
    """Make means of some positions those of other positions, too, from what `mix` wrote for both."""
    more = of_others - logarithms
    with np.errstate(over="ignore"):  # where the first positions do not count
        share = np.float32(1.0) / (np.float32(1.0) + np.exp(more))
    mixed += (np.float32(1.0) - share)[..., None] * (others - mixed)


def _weigh(scores: Array, hidden: Array | None, heads: int) -> Array | np.float32:
    """Turn the scores of queries of several heads, in their place, into exponentials of their differences from a number
    of their row: the largest, or 0 where no score is far from that. Returns the numbers, (rows,) or 0."""
    least = scores.min()
    if hidden is not None:
        by_head = scores.reshape(heads, -1, scores.shape[1])
        by_head[:, :, scores.shape[1] - hidden.shape[1] :] += hidden
    largest = scores.max(axis=1, keepdims=True)
    far = bool(least < _LEAST or largest.min() < -_NEAR or largest.max() > _NEAR)
    if far:
        scores -= largest
        if largest.max() - least > -_LEAST:  # numpy's `maximum` takes nearly as long as `exp`
            np.maximum(scores, _LEAST, out=scores)
    np.exp(scores, out=scores)
    return largest[:, 0] if far else np.float32(0.0)


@functools.lru_cache(1)
def later_ones(length: int) -> Array:
    """Summands that hide from each of the last positions those after it."""
    return np.triu(np.full((length, length), _HIDDEN, np.float32), 1)


def _hidden(mask: mx.array | str | None, length: int, positions: int) -> Array | None:
    """The mask as summands of the scores of the last positions: (length, positions), or so for each of the batch."""
    if mask is None:
        return None
    if isinstance(mask, str):
        return later_ones(length)
    summands = np.asarray(mask)
    summands = np.broadcast_to(summands, (*summands.shape[:-2], length, positions))
    if mask.dtype == mx.bool_:
        # Masks hide rarely more than what follows a query.
        before = positions - length
        summands = summands[..., before:] if before > 0 and summands[..., :before].all() else summands
        summands = np.where(summands, np.float32(0.0), np.float32(_HIDDEN))
    return summands[:, 0] if summands.ndim > 3 else summands


def _summands(mask: mx.array | str, length: int, positions: int) -> mx.array:
    """The mask as numbers to add to scores of (batch, shared heads, heads of each, length, positions)."""
    if isinstance(mask, str):
        mask = mx.arange(positions - length, positions)[:, None] >= mx.arange(positions)[None]
    if mask.dtype == mx.bool_:
        mask = mx.where(mask, 0.0, _HIDDEN)
    return mask[..., None, :, :] if mask.ndim > 2 else mask
