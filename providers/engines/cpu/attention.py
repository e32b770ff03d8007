"""Attention and SwiGLU for language models on the Linux CPU, with exponentials computed by `power` and by numpy.

MLX: `exp` takes 15 ns per value, softmax and sigmoid as much or more, `power` 6 ns. In float32, softmax and SwiGLU took
half of a prompt's prefill (585 ms of 256 tokens), the products of all weights the other half (740 ms).
Here: `power` computes the exponentials of both. Those of prompts are numpy's (0.5 ns), and those of scores lie in their
memory: attention of 35 tokens behind 2,200 takes 107 ms of processor time in 30 layers instead of 211, that of 256
tokens 750 instead of 1,830, and SwiGLU of 256 tokens 11 instead of 59. Heads that share keys are rows of one product,
so that the BLAS packs those keys once and not once per head. Results agree with mlx-lm's to float32 rounding.
Gain: prefill of 128 to 1,024 tokens takes 0.83 of the time. A decode step in a batch takes 93, 131 and 151 ms behind
1,000, 2,000 and 3,500 tokens instead of 133, 161 and 213 (`docs/performance.md`).
Delete when: MLX's `exp`, softmax and sigmoid take at most 6 ns per value on a CPU, and its attention packs shared keys
once.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models import activations, base

from providers.engines.process.mlx_lm_internals.layers import replace_function

__all__ = ["attention", "exp", "swiglu", "use_fast_exponentials"]

_LEAST = -80.0
"""Its exponential is nothing beside 1, and still a normal float32. Arithmetic on subnormal numbers is slow."""
_FEW = 8
_FAR = 256
"""With fewer queries (`_FEW`) and positions (`_FAR`), as in decoding a short text, calls cost more than they gain."""

_MANY = 1 << 15
"""Exponentials of prompts that numpy computes. Fewer cost less than evaluating their arguments here."""

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
    scores = (queries * scale).reshape(batch, shared, rows, width) @ keys.swapaxes(-1, -2)
    apart = (batch, shared, heads // shared, length, keys.shape[2])
    summands = None if mask is None else _summands(mask, length, keys.shape[2])
    if length >= _FEW and scores.size >= _MANY:
        weights, sums = _exponentials(scores, summands, apart)
    else:
        if summands is not None:
            scores = (scores.reshape(apart) + summands).reshape(scores.shape)
        weights = exp(scores - scores.max(axis=-1, keepdims=True))
        sums = weights.sum(axis=-1, keepdims=True)
    mixed = (weights @ values) / sums
    return mixed.reshape(batch, heads, length, values.shape[-1])


def _exponentials(scores: mx.array, summands: mx.array | None, apart: tuple[int, ...]) -> tuple[mx.array, mx.array]:
    """The exponentials of masked scores less the largest of their row, and the sums of the rows.

    Both are computed here, by numpy and in the place of the scores. `apart`: the scores' shape with heads and queries
    apart, (batch, shared heads, heads of each, length, positions), to which the summands broadcast.
    """
    mx.eval(scores, *([] if summands is None else [summands]))
    blocks = np.asarray(scores).reshape(apart)
    added = None if summands is None else np.broadcast_to(np.asarray(summands), apart)
    sums = np.empty((*apart[:-1], 1), np.float32)
    # A head's rows at a time, which fit into the processor's cache.
    for place in np.ndindex(apart[:3]):
        block = blocks[place]
        if added is not None:
            block += added[place]
        block -= block.max(axis=-1, keepdims=True)
        np.maximum(block, _LEAST, out=block)
        np.exp(block, out=block)
        block.sum(axis=-1, keepdims=True, out=sums[place])
    return scores, mx.array(sums.reshape(*scores.shape[:-1], 1))


def _summands(mask: mx.array | str, length: int, positions: int) -> mx.array:
    """The mask as numbers to add to scores of (batch, shared heads, heads of each, length, positions)."""
    if isinstance(mask, str):
        mask = mx.arange(positions - length, positions)[:, None] >= mx.arange(positions)[None]
    if mask.dtype == mx.bool_:
        mask = mx.where(mask, 0.0, -1e30)
    return mask[..., None, :, :] if mask.ndim > 2 else mask
