"""Projections of the same input as one product: queries, keys and values; gate and input of a gated MLP.

mlx-lm: a product each, so three and two kernels, of which those of keys and values are too small to keep a GPU busy.
Here: the weights lie one below the other in one matrix. The first of the projections to be called computes all, and
each takes its part. Adapters stay beside the product: `LoRALinear` calls the projection that it wraps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.quantized import QuantizedLinear
from mlx.utils import tree_flatten
from mlx_lm.tuner.lora import LoRALinear

from providers.engines.decode.quantised import multiply

__all__ = ["FAMILIES", "Projection", "fuse_projections"]

FAMILIES = frozenset({"gemma", "gemma3_text", "llama", "qwen2", "qwen3"})
"""Modules of `mlx_lm.models` whose layers call the projections of a group with the same array."""
GROUPS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
_ARRAYS = ("weight", "scales", "biases", "bias")
_MANY = 512
"""Rows from which on every projection multiplies by its own part of the matrix: a product of that size keeps the
device busy, and the functions after it take whole arrays faster than parts of one."""


class Projection(Module):
    """A part of a product that several projections share: it stands in the place of an `nn.Linear`."""

    def __init__(self, shared: _Shared, start: int, end: int) -> None:
        """Take the outputs from `start` to `end`. The first one holds the matrix in the tree of modules."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._shared, self._start, self._end = shared, start, end
        self.outputs = end - start
        if start == 0:
            self.fused = shared.linear

    def __call__(self, x: mx.array) -> mx.array:
        return self._shared.part(x, self._start, self._end)


class _Shared:
    """The product that projections share, for the array that they are called with."""

    def __init__(self, linear: Any, parts: int) -> None:
        self.linear = linear
        self._parts = parts
        self._input: mx.array | None = None
        self._output: mx.array | None = None
        self._left = 0

    def part(self, x: mx.array, start: int, end: int) -> mx.array:
        if x.size >= _MANY * x.shape[-1]:
            return _multiply(self.linear, x, slice(start, end))
        if x is not self._input or self._output is None:
            self._input, self._output, self._left = x, self.linear(x), self._parts
        part = self._output[..., start:end]
        self._left -= 1
        if not self._left:
            # What is kept is not freed.
            self._input = self._output = None
        return part


def fuse_projections(model: Any) -> int:
    """Join the projections of every layer of a known family. Returns how many products are saved.

    One group after the other, so that only one is in memory twice. Groups whose weights differ in kind stay.
    """
    saved = 0
    for _, module in model.named_modules():
        family = type(module).__module__.removeprefix("mlx_lm.models.")
        for names in GROUPS if family in FAMILIES else ():
            if all(name in module for name in names) and _fuse(module, names):
                saved += len(names) - 1
    mx.clear_cache()
    return saved


def _fuse(module: Any, names: Sequence[str]) -> bool:
    places = [_place(module, name) for name in names]
    linears = [holder[name] for holder, name in places]
    if not _alike(linears):
        return False
    fused = linears[0]
    ends, shared = 0, _Shared(fused, len(linears))
    bounds = [(ends, ends := ends + linear.weight.shape[0]) for linear in linears]
    joined = {name: mx.concatenate([linear[name] for linear in linears]) for name in _ARRAYS if name in fused}
    mx.eval(joined)
    for name, array in joined.items():
        fused[name] = array
    for (holder, name), (start, end) in zip(places, bounds, strict=True):
        holder[name] = Projection(shared, start, end)
    return True


def _place(module: Any, name: str) -> tuple[Any, str]:
    """Module and name under which a projection lies: within its adapter, if it has one."""
    projection = module[name]
    return (projection, "linear") if type(projection) is LoRALinear else (module, name)


def _alike(linears: Sequence[Any]) -> bool:
    def kind(linear: Any) -> tuple[Any, ...]:
        arrays: Any = tree_flatten(linear.parameters())
        shapes = tuple((name, array.dtype, array.shape[1:]) for name, array in sorted(arrays))
        packing = tuple(getattr(linear, setting, None) for setting in ("bits", "group_size", "mode"))
        return type(linear), shapes, packing

    kinds = {kind(linear) for linear in linears}
    return len(kinds) == 1 and type(linears[0]) in (Linear, QuantizedLinear)


def _multiply(linear: Any, x: mx.array, rows: slice) -> mx.array:
    """`linear(x)`, of these outputs only."""
    product: mx.array
    if isinstance(linear, QuantizedLinear):
        biases = linear.get("biases")
        product = multiply(
            x,
            linear.weight[rows],
            linear.scales[rows],
            None if biases is None else biases[rows],
            group_size=linear.group_size,
            bits=linear.bits,
            mode=linear.mode,
        )
        return product + linear.bias[rows] if "bias" in linear else product
    if "bias" in linear:
        return mx.addmm(linear.bias[rows], x, linear.weight[rows].T)
    product = x @ linear.weight[rows].T
    return product
