"""Attention and SwiGLU for language models on the Linux CPU, with exponentials computed by `power`.

MLX: `exp` takes 15 ns per value, softmax and sigmoid as much or more, `power` 6 ns. In float32, softmax and SwiGLU took
half of a prompt's prefill (585 ms of 256 tokens), the products of all weights the other half (740 ms).
Here: `power` computes the exponentials of both. Heads that share keys are rows of one product, so that the BLAS packs
those keys once and not once per head. Results agree with mlx-lm's to float32 rounding.
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
from mlx_lm.models import activations, base

from providers.engines.process.mlx_lm_internals import replace_function

__all__ = ["attention", "exp", "swiglu", "use_fast_exponentials"]

_LEAST = -80.0
"""Its exponential is nothing beside 1, and still a normal float32. Arithmetic on subnormal numbers is slow."""
_FEW = 8
_FAR = 256
"""With fewer queries (`_FEW`) and positions (`_FAR`), as in decoding a short text, calls cost more than they gain."""

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
    """mlx-lm's `swiglu`."""
    if gate.dtype != mx.float32:
        return _mlx_swiglu(gate, x)  # type: ignore[no-any-return]
    return gate / (1.0 + mx.power(math.e, -gate)) * x


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
    if mask is not None:
        apart = scores.reshape(batch, shared, heads // shared, length, -1) + _summands(mask, length, keys.shape[2])
        scores = apart.reshape(scores.shape)
    weights = exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = (weights @ values) / weights.sum(axis=-1, keepdims=True)
    return mixed.reshape(batch, heads, length, values.shape[-1])


def _summands(mask: mx.array | str, length: int, positions: int) -> mx.array:
    """The mask as numbers to add to scores of (batch, shared heads, heads of each, length, positions)."""
    if isinstance(mask, str):
        mask = mx.arange(positions - length, positions)[:, None] >= mx.arange(positions)[None]
    if mask.dtype == mx.bool_:
        mask = mx.where(mask, 0.0, -1e30)
    return mask[..., None, :, :] if mask.ndim > 2 else mask
