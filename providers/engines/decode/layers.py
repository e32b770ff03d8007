"""Layers of a decode step with a third of mlx-lm's operations, for the families whose layers are alike.

mlx-lm builds 35 operations per layer in Python and MLX launches 17 kernels, which took the host 8 ms per step of a 7B
model on an H200, while the device computed it in 6. Here a layer is two compiled functions and one attention: up to the
rotated queries, keys and values, and from the attention's output to the next layer's normed input. If several ranks
share the layer, the second function holds its two sums over them, in the order of mlx-lm's layers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx.nn.layers.distributed import QuantizedShardedToAllLinear, ShardedToAllLinear
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.normalization import RMSNorm
from mlx.nn.layers.positional_encoding import RoPE
from mlx.nn.layers.quantized import QuantizedLinear
from mlx_lm.models import llama, qwen2, qwen3, rope_utils
from mlx_lm.models.cache import BatchKVCache

from providers.engines.decode import cuda_attention, cuda_kernels, cuda_prefill
from providers.engines.decode.fused import Projection
from providers.engines.decode.masks import MASKS
from providers.engines.decode.quantised import multiply
from providers.engines.process.mlx_lm_internals.layers import append_token, change_class

__all__ = ["shorten_layers"]

BLOCKS = (llama.TransformerBlock, qwen2.TransformerBlock, qwen3.TransformerBlock)
"""Layers of a norm, attention, a norm and a SwiGLU; mistral's are llama's."""
_TYPES = (mx.bfloat16, mx.float16)
_SUMMED = (ShardedToAllLinear, QuantizedShardedToAllLinear)
"""Layers whose outputs are summed over the ranks that share the model."""


def shorten_layers(model: Any) -> int:
    """Replace the decode step of every layer that is known and whose projections are fused. Returns how many."""
    layers = [layer for layer in getattr(model, "layers", ()) if type(layer) in BLOCKS]
    steps = [_LayerStep(layer) if _fits(layer) else None for layer in layers]
    shared = _Step()
    for place, (layer, step) in enumerate(zip(layers, steps, strict=True)):
        if step is not None:
            following = layers[place + 1].input_layernorm if place + 1 < len(layers) else None
            step.join(shared, following)
            kind: Any = type(layer)
            change_class(layer, _shortened(kind))
            layer._step = step
    for shape, dtype, scale in {step.attention for step in steps if step is not None}:
        cuda_attention.build(shape, dtype, scale)
        cuda_prefill.build(shape, dtype, scale)
    return sum(step is not None for step in steps)


def _fits(layer: Any) -> bool:
    """Whether the layer is known. Ranks that share it decide alike: their parts have the same shapes and types."""
    attention, mlp = layer.self_attn, layer.mlp
    parts = (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj)
    plain = all(type(each) in (Linear, QuantizedLinear, *_SUMMED) for each in (attention.o_proj, mlp.down_proj))
    norms = (layer.input_layernorm, layer.post_attention_layernorm)
    width = attention.rope.dims
    return (
        all(type(part) is Projection for part in parts)
        and plain
        and all(type(norm) is RMSNorm and norm.weight.dtype in _TYPES for norm in norms)
        and norms[0].weight.size % 8 == 0
        and mlp.gate_proj.fused.weight.shape[0] % 16 == 0
        and cuda_attention.is_width(width)
        and width * attention.n_heads == attention.q_proj.outputs
        and _periods(attention.rope) is not None
    )


def _periods(rope: Any) -> mx.array | None:
    """Tokens per radian of each pair of numbers that a rotary embedding turns; None for an unknown kind."""
    if rope.traditional:
        return None
    if type(rope) is RoPE:
        periods: mx.array = rope.base ** (mx.arange(0, rope.dims, 2, dtype=mx.float32) / rope.dims) / rope.scale
        return periods
    if type(rope) is rope_utils.Llama3RoPE:
        return rope._freqs
    return None


@functools.cache
def _shortened(kind: Any) -> type[Any]:
    """A class of layers that decode by their `_step` where it can, and otherwise as mlx-lm's class."""

    def call(self: Any, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        if x.shape[1] == 1 and x.dtype in _TYPES and type(cache) is BatchKVCache:
            starts = MASKS.starts(mask)
            if starts is not None:
                return self._step(x, mask, cache, starts)  # type: ignore[no-any-return]
        return kind.__call__(self, x, mask, cache)  # type: ignore[no-any-return]

    return type(f"Shortened{kind.__name__}", (kind,), {"__call__": call})


class _Step:
    """What the layers share within a step: positions, and the last output with its norm."""

    def __init__(self) -> None:
        self.mask: Any = None
        self.offset: Any = None
        self.next_offset: Any = None
        self.output: Any = None
        self.normed: Any = None

    def begin(self, mask: mx.array, offset: mx.array) -> None:
        """Note the positions of a new step's tokens, which are the same in all layers."""
        self.mask, self.offset, self.next_offset = mask, offset, offset + 1


class _LayerStep:
    """The decode step of a layer."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._norm = layer.input_layernorm
        self._scale = attention.scale
        shape = attention.n_heads, attention.n_kv_heads, attention.rope.dims
        self.attention = shape, self._norm.weight.dtype, self._scale
        """Heads, shared heads and width; type; and the scale of scores."""
        joined, out, gates, down = attention.q_proj.fused, attention.o_proj, mlp.gate_proj.fused, mlp.down_proj
        self._joined, self._rest = _arrays(joined), [_arrays(out), _arrays(gates), _arrays(down)]
        self._periods = _periods(attention.rope)
        heads, shared = attention.n_heads, attention.n_kv_heads
        normed = hasattr(attention, "q_norm")
        self._head_norms = (attention.q_norm.weight, attention.k_norm.weight) if normed else ()
        self._post = layer.post_attention_layernorm
        self._before = _before(_packing(joined), heads, shared, attention.q_norm.eps if normed else 0.0)
        self._after_kinds = (_packing(out), _packing(gates), _packing(down))

    def join(self, step: _Step, following: Any) -> None:
        """`following`: the norm of the next layer's input; None after the last."""
        self._step = step
        self._norms = [norm.weight for norm in (self._post, following) if norm is not None]
        self._after = _after(self._after_kinds, self._post.eps, None if following is None else following.eps)

    def __call__(self, x: mx.array, mask: mx.array, cache: Any, starts: mx.array) -> mx.array:
        step = self._step
        if step.mask is not mask:
            step.begin(mask, cache.offset)
        normed = step.normed if step.output is x else self._norm(x)
        queries, *fresh = self._before(normed, step.offset, self._periods, self._joined, *self._head_norms)
        keys, values = append_token(cache, fresh[0], fresh[1], step.next_offset)
        mixed = cuda_attention.attend(queries, keys, values, starts, self._scale)
        output, *rest = self._after(mixed, x, self._rest, self._norms)
        # Nothing is kept from the last layer on, so that a step's arrays are freed.
        step.output, step.normed = (output, rest[0]) if rest else (None, None)
        return output  # type: ignore[no-any-return]


@functools.cache
def _before(packing: tuple[Any, ...], heads: int, shared: int, epsilon: float) -> Callable[..., Any]:
    def before(
        normed: mx.array, offset: mx.array, periods: mx.array, joined: list[mx.array], *norms: mx.array
    ) -> tuple[mx.array, ...]:
        product = _multiply(normed, joined, packing)
        return cuda_kernels.rotate(product, offset, periods, norms or None, epsilon, heads, shared)  # type: ignore[arg-type]

    return mx.compile(before)


@functools.cache
def _after(packings: tuple[tuple[Any, ...], ...], epsilon: float, next_epsilon: float | None) -> Callable[..., Any]:
    def after(
        mixed: mx.array, x: mx.array, linears: list[list[mx.array]], norms: list[mx.array]
    ) -> tuple[mx.array, ...]:
        out, gates, down = zip(linears, packings, strict=True)
        product = _multiply(mixed.reshape(len(x), 1, -1), *out)
        added, normed = cuda_kernels.add_and_norm(x, product, norms[0], epsilon)
        change = _multiply(cuda_kernels.gate(_multiply(normed, *gates)), *down)
        if next_epsilon is None:
            return (added + change,)
        return cuda_kernels.add_and_norm(added, change, norms[1], next_epsilon)

    return mx.compile(after)


def _packing(linear: Any) -> tuple[Any, ...]:
    """What a linear layer is besides its arrays: which it has, the ranks that share it, and how it is quantised."""
    names = tuple(name for name in ("weight", "scales", "biases", "bias") if linear.get(name) is not None)
    ranks = linear.group if isinstance(linear, _SUMMED) else None
    if isinstance(linear, (QuantizedLinear, QuantizedShardedToAllLinear)):
        return names, ranks, linear.group_size, linear.bits, linear.mode
    return names, ranks, 0, 0, ""


def _arrays(linear: Any) -> list[mx.array]:
    return [linear[name] for name in _packing(linear)[0]]


def _multiply(x: mx.array, arrays: list[mx.array], packing: tuple[Any, ...]) -> mx.array:
    """The output of a linear layer of this packing."""
    names, ranks, group_size, bits, mode = packing
    parts = dict(zip(names, arrays, strict=True))
    bias = parts.get("bias")
    product: mx.array
    if bits:
        product = multiply(
            x,
            parts["weight"],
            parts["scales"],
            parts.get("biases"),
            group_size=group_size,
            bits=bits,
            mode=mode,
        )
    elif bias is not None and ranks is None:
        return mx.addmm(bias, x, parts["weight"].T)
    else:
        product = x @ parts["weight"].T
    if ranks is not None:
        product = mx.distributed.all_sum(product, group=ranks)
    return product if bias is None else product + bias
