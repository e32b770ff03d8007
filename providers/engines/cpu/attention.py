"""Attention and SwiGLU for language models on the Linux CPU: their exponentials by `power`.

There MLX's `exp` takes 15 ns a value, its softmax and its sigmoid as much or more, its `power` 6 ns: of a prompt's
prefill in float32, those two were half of the time, the products of all weights the other half. Both functions agree
with mlx-lm's to float32 rounding.
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
"""Its exponential is nothing beside 1, and still a normal float32: those below are slow."""
_FEW = 8
_FAR = 256
"""With fewer queries and positions, as in decoding a short text, calls cost more than exponentials."""

_mlx_attention: Any = base.scaled_dot_product_attention
_mlx_swiglu: Any = activations.swiglu


def use_fast_exponentials(model: Any, device: str) -> None:
    """Have a float32 model on the Linux CPU compute them this way; others stay as they are."""
    if device != "cpu" or not sys.platform.startswith("linux"):
        return
    replace_function(model, "scaled_dot_product_attention", _mlx_attention, attention)
    replace_function(model, "swiglu", _mlx_swiglu, swiglu)


def exp(x: mx.array) -> mx.array:
    """Of numbers that are at most 0, in float32."""
    return mx.power(math.e, mx.maximum(x, _LEAST))


def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """As mlx-lm's function of that name."""
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
    """As mlx-lm's `scaled_dot_product_attention`.

    `queries`: (batch, heads, length, width); `keys`, `values`: as many heads or a divisor of that, over all positions.
    `mask`: `causal`, booleans or summands that broadcast to (batch, heads, length, positions), or None.
    """
    batch, heads, length, width = queries.shape
    several_masks = isinstance(mask, mx.array) and mask.ndim > 2 and mask.shape[-3] > 1
    others = queries.dtype != mx.float32 or sinks is not None or hasattr(cache, "bits") or several_masks
    if others or (length < _FEW and keys.shape[2] < _FAR):
        return _mlx_attention(  # type: ignore[no-any-return]
            queries, keys, values, cache=cache, scale=scale, mask=mask, sinks=sinks
        )
    shared = keys.shape[1]
    # Heads that share keys are rows of one product, which reads those once.
    rows = heads // shared * length
    scores = (queries * scale).reshape(batch, shared, rows, width) @ keys.swapaxes(-1, -2)
    if mask is not None:
        apart = scores.reshape(batch, shared, heads // shared, length, -1) + _summands(mask, length, keys.shape[2])
        scores = apart.reshape(scores.shape)
    weights = exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = (weights @ values) / weights.sum(axis=-1, keepdims=True)
    return mixed.reshape(batch, heads, length, values.shape[-1])


def _summands(mask: mx.array | str, length: int, positions: int) -> mx.array:
    """Of any mask, for scores of (batch, shared heads, heads of each, length, positions)."""
    if isinstance(mask, str):
        mask = mx.arange(positions - length, positions)[:, None] >= mx.arange(positions)[None]
    if mask.dtype == mx.bool_:
        mask = mx.where(mask, 0.0, -1e30)
    return mask[..., None, :, :] if mask.ndim > 2 else mask
