"""The layers of a decode step of one sequence on the Linux CPU, in numpy.

MLX: multiplies one row by every weight with `sgemm`, which copies the weight into its own order before it reads it
once. The small operations between the products (norms, positions, attention) take 5 to 20 µs each.
Here: `sgemv`, and small operations of about 1 µs each. numpy reads MLX's weights, keys and values where they are. MLX
appends the new keys and values while the output's product is computed. Results agree with mlx-lm's to float32 rounding.
Prompts, batches, other caches and other families stay with MLX.
Gain: a token of SmolLM2 135M takes 0.40 of the time with AVX-512, and 0.49 with AVX2 (`docs/performance.md`).
Delete when: MLX or the BLAS multiplies a row with `sgemv`, and MLX's operations on a row take a microsecond.
"""

from __future__ import annotations

import sys
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.nn.layers.base import Module
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.positional_encoding import RoPE
from mlx_lm.models.rope_utils import Llama3RoPE
from numpy.typing import NDArray

from providers.engines.process.mlx_lm_internals.layers import change_class, tokens_of_one

__all__ = ["FAMILIES", "compute_rows_in_numpy"]

Array = NDArray[np.float32]

FAMILIES = frozenset({"llama", "qwen2", "qwen3"})
"""Modules of `mlx_lm.models` whose layers are computed here."""
_BLOCK = 64
"""Positions whose rotations are computed together."""
_MOST = 80.0
"""The exponential of this is finite in float32, and a gate beyond it is closed."""


def compute_rows_in_numpy(model: Any, device: str) -> bool:
    """Make a model on the Linux CPU compute single rows here. Returns whether it is of a kind that can."""
    layers = getattr(getattr(model, "model", None), "layers", [])
    if device != "cpu" or not sys.platform.startswith("linux") or not layers or not all(map(_is_known, layers)):
        return False
    attention = layers[0].self_attn
    rotations = Rotations(attention.rope, attention.q_proj.weight.shape[0] // attention.n_heads)
    appended: list[mx.array] = []
    for layer in layers:
        # Underscores keep MLX from counting these among the weights.
        layer._rotations, layer._appended, layer._is_last = rotations, appended, layer is layers[-1]
        _become(layer, _Layer)
    if "lm_head" in model:
        _become(model.lm_head, _Output)
    else:
        _become(model.model.embed_tokens, _TiedOutput)
    model.computes_rows_in_call = True  # `PlannedBatch` then calls it after it has delivered the last tokens
    return True


def _is_known(layer: Any) -> bool:
    """Whether a layer is one of a known family, with float32 weights in plain `nn.Linear`s."""
    kind = type(layer)
    if kind.__name__ != "TransformerBlock" or kind.__module__.removeprefix("mlx_lm.models.") not in FAMILIES:
        return False
    attention, mlp = layer.self_attn, layer.mlp
    linears = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
    linears += [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    if not all(type(linear) is Linear and linear.weight.dtype == mx.float32 for linear in linears):
        return False
    rope = attention.rope
    width = attention.q_proj.weight.shape[0] // attention.n_heads
    windowed = getattr(layer, "use_sliding", False)
    return type(rope) in (RoPE, Llama3RoPE) and rope.dims == width and not rope.traditional and not windowed


def _become(module: Any, mixed_in: type) -> None:
    kind = type(module)
    change_class(module, type(kind.__name__, (mixed_in, kind), {"__module__": kind.__module__}))


class Rotations:
    """The cosine and sine of every angle by which a position rotates a head, computed by the model's own `rope`."""

    def __init__(self, rope: Any, width: int) -> None:
        self._rope, self._half = rope, width // 2
        self._block = -1
        self._turned = np.empty((0, width), np.float32)

    def rotate(self, heads: Array, position: int) -> Array:
        """Heads (heads, width) as they are at this position."""
        half = self._half
        if position // _BLOCK != self._block:
            self._compute(position // _BLOCK)
        turned = self._turned[position % _BLOCK]
        cosine, sine = turned[:half], turned[half:]
        first, second = heads[:, :half], heads[:, half:]
        return np.concatenate([first * cosine - second * sine, first * sine + second * cosine], axis=1)

    def _compute(self, block: int) -> None:
        unit = mx.repeat(mx.array([[1.0, 0.0]]), self._half, axis=1)  # rotated: cosine and sine
        units = mx.broadcast_to(unit, (1, 1, _BLOCK, 2 * self._half))
        self._turned = np.array(self._rope(units, offset=block * _BLOCK))[0, 0]
        self._block = block


class _Layer(Module):
    """Mixed into a layer's class: pre-norm attention and pre-norm gated MLP, each added to its input."""

    _rotations: Rotations
    _appended: list[mx.array]
    """Caches of the layers before, in this step."""
    _is_last: bool

    def __call__(self, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        held = _held(cache) if _is_row(x) else None
        if held is None:
            return super().__call__(x, mask, cache)  # type: ignore[no-any-return]
        row = np.asarray(x).reshape(-1)
        row = row + self._attend(_normed(self.input_layernorm, row), cache, held)
        mlp, normed = self.mlp, _normed(self.post_attention_layernorm, row)
        gate = _product(mlp.gate_proj, normed)
        gate /= 1.0 + np.exp(np.minimum(-gate, _MOST))
        row = row + _product(mlp.down_proj, gate * _product(mlp.up_proj, normed))
        return mx.array(row.reshape(1, 1, -1))

    def _attend(self, row: Array, cache: Any, held: range) -> Array:
        attention = self.self_attn
        queries = _product(attention.q_proj, row).reshape(attention.n_heads, -1)
        keys = _product(attention.k_proj, row).reshape(attention.n_kv_heads, -1)
        values = _product(attention.v_proj, row).reshape(attention.n_kv_heads, -1)
        if "q_norm" in attention:
            queries, keys = _normed(attention.q_norm, queries), _normed(attention.k_norm, keys)
        queries = self._rotations.rotate(queries, len(held))
        keys = self._rotations.rotate(keys, len(held))
        mixed = _mixed(queries * np.float32(attention.scale), keys, values, *_views(cache, held))
        # No view of the cache may be left: MLX appends in place.
        cache.update_and_fetch(mx.array(keys[None, :, None]), mx.array(values[None, :, None]))
        self._append(cache)
        return _product(attention.o_proj, mixed)

    def _append(self, cache: Any) -> None:
        """Have MLX compute the caches of all layers together, on its own thread, after the last one."""
        changed = (cache.keys, cache.values, cache.offset)
        self._appended += [each for each in changed if isinstance(each, mx.array)]
        if self._is_last:
            mx.async_eval(self._appended)  # type: ignore[no-untyped-call]
            self._appended.clear()


class _Output(Module):
    """Mixed into the class of an output that is an `nn.Linear`."""

    def __call__(self, x: mx.array) -> mx.array:
        if _is_row(x) and self.weight.dtype == mx.float32:
            return mx.array(_product(self, np.asarray(x).reshape(-1)).reshape(1, 1, -1))
        return super().__call__(x)  # type: ignore[no-any-return]


class _TiedOutput(Module):
    """Mixed into the class of an embedding that is the output, too."""

    def as_linear(self, x: mx.array) -> mx.array:
        if _is_row(x) and self.weight.dtype == mx.float32:
            return mx.array(_product(self, np.asarray(x).reshape(-1)).reshape(1, 1, -1))
        return super().as_linear(x)  # type: ignore[misc,no-any-return]


def _is_row(x: mx.array) -> bool:
    return x.ndim == 3 and x.size == x.shape[-1] and x.dtype == mx.float32


def _held(cache: Any) -> range | None:
    """Where a cache of one sequence holds float32 keys and values; None: it is of another kind, or empty."""
    held = tokens_of_one(cache)
    if held is None or cache.keys is None or len(cache.keys) != 1 or cache.keys.dtype != mx.float32:
        return None
    return held


def _views(cache: Any, held: range) -> tuple[Array, Array]:
    """numpy's views of the keys and values, (shared heads, positions, width)."""
    keys, values = (np.asarray(array)[0, :, held.start : held.stop] for array in (cache.keys, cache.values))
    return keys, values


def _product(linear: Any, row: Array) -> Array:
    product: Array = np.asarray(linear.weight) @ row
    if "bias" in linear:
        product += np.asarray(linear.bias)
    return product


def _normed(norm: Any, x: Array) -> Array:
    mean = np.mean(x * x, axis=-1, keepdims=True)
    normed: Array = x / np.sqrt(mean + np.float32(norm.eps)) * np.asarray(norm.weight)
    return normed


def _mixed(queries: Array, keys: Array, values: Array, past_keys: Array, past_values: Array) -> Array:
    """The mean of all values, weighted by scaled queries, in one row.

    Args:
        queries: (heads, width).
        keys: the row's own, (shared heads, width). The past ones are (shared heads, positions, width).
        values: as `keys`.
    """
    shared, width = keys.shape
    grouped = queries.reshape(shared, -1, width)
    scores = np.concatenate([grouped @ past_keys.swapaxes(1, 2), grouped @ keys[:, :, None]], axis=2)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    mixed = weights[:, :, :-1] @ past_values + weights[:, :, -1:] * values[:, None]
    mixed /= weights.sum(axis=2, keepdims=True)
    row: Array = mixed.reshape(-1)
    return row
