"""The layers of passes over one sequence on the Linux CPU, in numpy: decode steps, and prompts behind a kept prefix.

MLX: multiplies one row by every weight with `sgemm`, which copies the weight into its own order before it reads it
once. The small operations between the products (norms, positions, attention) take 5 to 20 µs per row.
Here: `sgemv` for one row, and small operations of about 1 µs each. Several rows are multiplied as a multiple of four.
Halves of a pass over a few tokens are computed on two cores (`second_core.py`), and the last layer computes only the
row that the output gets. numpy reads MLX's weights, keys and values where they are: keys and values that are kept are
not copied before them. MLX appends the new ones on its own thread meanwhile. Results agree with mlx-lm's to float32
rounding. The first chunk of a prompt, batches, other caches and other families stay with MLX.
Gain: a token of SmolLM2 135M takes 0.40 of the time with AVX-512, and 0.49 with AVX2; 35 tokens behind 2,300 take 0.85
on one core, prompts of 2,000 tokens 0.88 (`docs/performance.md`).
Delete when: MLX or the BLAS multiplies a row with `sgemv`, and MLX's operations on a row take a microsecond.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from mlx.nn.layers.base import Module
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.positional_encoding import RoPE
from mlx_lm.models.rope_utils import Llama3RoPE
from numpy.typing import NDArray

from providers.engines.cpu.attention import join, later_ones, mix
from providers.engines.cpu.second_core import SecondCore, find_second_core
from providers.engines.process.mlx_lm_internals.layers import change_class, tokens_of_one

__all__ = ["FAMILIES", "compute_rows_in_numpy"]

Array = NDArray[np.float32]
Pair = tuple[Array, Array]

FAMILIES = frozenset({"llama", "qwen2", "qwen3"})
"""Modules of `mlx_lm.models` whose layers are computed here."""
_BLOCK = 64
"""Positions whose rotations are computed together."""
_TOGETHER = 4
"""Rows of a tile in OpenBLAS's `sgemm`. The products of 36 rows take 0.93 of the time of those of 35."""
_LINE = 16
"""Numbers of a processor's cache line: halves of weights begin at one."""
_SHARED = range(16, 129)
"""Rows of a pass whose halves are computed on two cores. Fewer take little longer than waking up the second core. More,
as in the chunks of a long prompt, take seconds, in which other programs have it."""


def compute_rows_in_numpy(model: Any, device: str) -> bool:
    """Make a model on the Linux CPU compute single rows here. Returns whether it is of a kind that can."""
    layers = getattr(getattr(model, "model", None), "layers", [])
    if device != "cpu" or not sys.platform.startswith("linux") or not layers or not all(map(_is_known, layers)):
        return False
    attention = layers[0].self_attn
    rotations = Rotations(attention.rope, attention.q_proj.weight.shape[0] // attention.n_heads)
    appended: list[mx.array] = []
    second_core = find_second_core()

    def ends() -> list[int] | None:
        found: list[int] | None = getattr(model["model"], "places", None)
        return found

    for layer in layers:
        # Underscores keep MLX from counting these among the weights.
        layer._rotations, layer._appended, layer._is_last = rotations, appended, layer is layers[-1]
        layer._second_core, layer._ends = second_core, ends
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
        self._held = range(0)
        self._turned = np.empty((0, width), np.float32)

    def rotate(self, heads: Array, positions: range) -> Array:
        """Heads (heads, length, width) as they are at these positions."""
        half = self._half
        if positions.start < self._held.start or positions.stop > self._held.stop:
            self._compute(positions)
        turned = self._turned[positions.start - self._held.start : positions.stop - self._held.start]
        cosine, sine = turned[:, :half], turned[:, half:]
        first, second = heads[..., :half], heads[..., half:]
        rotated = np.empty(heads.shape, np.float32)
        np.multiply(first, cosine, out=rotated[..., :half])
        np.multiply(second, cosine, out=rotated[..., half:])
        rotated[..., :half] -= second * sine
        rotated[..., half:] += first * sine
        return rotated

    def _compute(self, positions: range) -> None:
        begin, end = positions.start // _BLOCK * _BLOCK, -(-positions.stop // _BLOCK) * _BLOCK
        unit = mx.repeat(mx.array([[1.0, 0.0]]), self._half, axis=1)  # rotated: cosine and sine
        units = mx.broadcast_to(unit, (1, 1, end - begin, 2 * self._half))
        self._turned = np.array(self._rope(units, offset=begin))[0, 0]
        self._held = range(begin, end)


class _Layer(Module):
    """Mixed into a layer's class: pre-norm attention and pre-norm gated MLP, each added to its input."""

    _rotations: Rotations
    _appended: list[mx.array]
    """Caches of the layers before, in this step."""
    _is_last: bool
    _second_core: SecondCore | None
    _ends: Callable[[], list[int] | None]
    """The places of a pass whose states the output gets (`last_logits`); None: it gets all."""

    def __call__(self, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        held = _held(cache) if _is_of_one(x) else None
        if held is None:
            return super().__call__(x, mask, cache)  # type: ignore[no-any-return]
        length = x.shape[1]
        only_last = self._is_last and length > 1 and self._ends() == [length - 1]
        second_core = self._second_core if length in _SHARED and not only_last else None
        rows = _padded(np.asarray(x)[0])
        given = _normed(self.input_layernorm, rows)
        wanted = slice(length - 1, length) if only_last else slice(None)
        rows[wanted] += self._attend(given, given[wanted], length, cache, held, second_core)
        gate, up, down = (_whole(linear) for linear in (self.mlp.gate_proj, self.mlp.up_proj, self.mlp.down_proj))
        normed = _normed(self.post_attention_layernorm, rows[wanted])
        rows[wanted] += _gated(gate, up, down, normed, second_core)
        return mx.array(rows[None, :length])

    def _attend(
        self, rows: Array, wanted: Array, length: int, cache: Any, held: range, second_core: SecondCore | None
    ) -> Array:
        """What attention adds to the last of the rows, which are those wanted."""
        attention = self.self_attn
        width = attention.q_proj.weight.shape[0] // attention.n_heads
        products = self._projected(rows, wanted, second_core)
        queries, keys, values = (product[:length].reshape(-1, product.shape[1] // width, width) for product in products)
        if "q_norm" in attention:
            queries, keys = _normed(attention.q_norm, queries), _normed(attention.k_norm, keys)
        positions = range(len(held), len(held) + length)
        queries = self._rotations.rotate(queries.swapaxes(0, 1), positions[-len(queries) :])
        keys, values = self._rotations.rotate(keys.swapaxes(0, 1), positions), values.swapaxes(0, 1)
        queries *= np.float32(attention.scale)
        mixed = np.zeros((len(wanted), attention.n_heads, width), np.float32)
        _mix(queries, (keys, values), _views(cache, held), mixed[:length].swapaxes(0, 1), second_core)
        # No view of the cache may be left: MLX appends in place.
        cache.update_and_fetch(mx.array(keys[None]), mx.array(values[None]))
        self._append(cache, length)
        return _by_outputs(_whole(attention.o_proj), mixed.reshape(len(wanted), -1), second_core)

    def _projected(self, rows: Array, wanted: Array, second_core: SecondCore | None) -> tuple[Array, Array, Array]:
        """Queries of the rows wanted, and keys and values of all, (rows, outputs)."""
        attention = self.self_attn
        q, k, v = (_whole(linear) for linear in (attention.q_proj, attention.k_proj, attention.v_proj))
        if second_core is None:
            return _product(q, wanted), _product(k, rows), _product(v, rows)
        queries, others = second_core.both(lambda: _product(q, wanted), lambda: (_product(k, rows), _product(v, rows)))
        return queries, *others

    def _append(self, cache: Any, rows: int) -> None:
        """Have MLX compute the caches on its own thread: of a row those of all layers together, after the last one.

        For several rows it may have to copy what is kept, which it does while this thread computes.
        """
        changed = (cache.keys, cache.values, cache.offset)
        self._appended += [each for each in changed if isinstance(each, mx.array)]
        if self._is_last or rows > 1:
            mx.async_eval(self._appended)  # type: ignore[no-untyped-call]
            self._appended.clear()


class _Output(Module):
    """Mixed into the class of an output that is an `nn.Linear`."""

    def __call__(self, x: mx.array) -> mx.array:
        if _is_row(x) and self.weight.dtype == mx.float32:
            return mx.array(_product(_whole(self), np.asarray(x)[0])[None])
        return super().__call__(x)  # type: ignore[no-any-return]


class _TiedOutput(Module):
    """Mixed into the class of an embedding that is the output, too."""

    def as_linear(self, x: mx.array) -> mx.array:
        if _is_row(x) and self.weight.dtype == mx.float32:
            return mx.array(_product(_whole(self), np.asarray(x)[0])[None])
        return super().as_linear(x)  # type: ignore[misc,no-any-return]


def _is_of_one(x: mx.array) -> bool:
    return x.ndim == 3 and len(x) == 1 and x.dtype == mx.float32


def _is_row(x: mx.array) -> bool:
    return x.ndim == 3 and x.size == x.shape[-1] and x.dtype == mx.float32


def _held(cache: Any) -> range | None:
    """Where a cache of one sequence holds float32 keys and values; None: it is of another kind, or empty.

    One that is empty may have arrays: room in a batch, whose longer sequences have left.
    """
    held = tokens_of_one(cache)
    if not held or cache.keys is None or len(cache.keys) != 1 or cache.keys.dtype != mx.float32:
        return None
    return held


def _views(cache: Any, held: range) -> Pair:
    """numpy's views of the keys and values, (shared heads, positions, width)."""
    keys, values = (np.asarray(array)[0, :, held.start : held.stop] for array in (cache.keys, cache.values))
    return keys, values


class _Linear(NamedTuple):
    """A weight (outputs, inputs) and summands (outputs), or None."""

    weight: Array
    bias: Array | None

    def halves(self) -> tuple[_Linear, _Linear]:
        """The first and the last of the outputs."""
        middle = _middle(len(self.weight))
        biases = (None, None) if self.bias is None else (self.bias[:middle], self.bias[middle:])
        return _Linear(self.weight[:middle], biases[0]), _Linear(self.weight[middle:], biases[1])


def _whole(linear: Any) -> _Linear:
    return _Linear(np.asarray(linear.weight), np.asarray(linear.bias) if "bias" in linear else None)


def _middle(count: int) -> int:
    return (count + _LINE) // (2 * _LINE) * _LINE


def _product(linear: _Linear, rows: Array) -> Array:
    product: Array = (linear.weight @ rows[0])[None] if len(rows) == 1 else rows @ linear.weight.T
    if linear.bias is not None:
        product += linear.bias
    return product


def _by_outputs(linear: _Linear, rows: Array, second_core: SecondCore | None) -> Array:
    """The product, of which each core computes some outputs."""
    if second_core is None:
        return _product(linear, rows)
    first, last = linear.halves()
    return np.concatenate(second_core.both(lambda: _product(first, rows), lambda: _product(last, rows)), axis=1)


def _gated(gate: _Linear, up: _Linear, down: _Linear, rows: Array, second_core: SecondCore | None = None) -> Array:
    """The gated MLP's outputs, to which each core adds what some of the hidden numbers contribute."""
    if second_core is not None:
        (gate, other_gate), (up, other_up), middle = gate.halves(), up.halves(), _middle(down.weight.shape[1])
        down, other_down = _Linear(down.weight[:, :middle], down.bias), _Linear(down.weight[:, middle:], None)
        first, last = second_core.both(
            lambda: _gated(gate, up, down, rows), lambda: _gated(other_gate, other_up, other_down, rows)
        )
        first += last
        return first
    gates = _product(gate, rows)
    gates /= _divisors(gates)
    gates *= _product(up, rows)
    return _product(down, gates)


def _padded(rows: Array) -> Array:
    """A copy of rows, and rows of zeros up to a multiple of those that a BLAS multiplies together."""
    count = len(rows)
    padded = np.zeros((count if count == 1 else -(-count // _TOGETHER) * _TOGETHER, rows.shape[1]), np.float32)
    padded[:count] = rows
    return padded


def _normed(norm: Any, x: Array) -> Array:
    mean = np.einsum("...i,...i->...", x, x)[..., None] / np.float32(x.shape[-1])
    normed: Array = x * (1.0 / np.sqrt(mean + np.float32(norm.eps)))
    normed *= np.asarray(norm.weight)
    return normed


def _divisors(gates: Array) -> Array:
    """What gates are divided by in SwiGLU."""
    divisors = np.negative(gates)
    with np.errstate(over="ignore"):  # numpy's `minimum` takes as long as `exp`
        np.exp(divisors, out=divisors)
    divisors += 1.0
    return divisors


def _mix(queries: Array, own: Pair, past: Pair, mixed: Array, second_core: SecondCore | None) -> None:
    """Write the mean of all values that a row sees, weighted by its scaled queries.

    Args:
        queries: (heads, length, width), of all rows or only the last one.
        own: the rows' keys and values, each (shared heads, rows, width).
        past: keys and values, each (shared heads, positions, width).
        mixed: as `queries`.
        second_core: to compute one half of the positions; None: one core computes all.
    """
    (keys, values), length = own, queries.shape[1]
    hidden = later_ones(length) if length > 1 else None
    if second_core is not None:
        _mix_on_both(queries, own, past, hidden, mixed, second_core)
        return
    if keys.shape[1] > 1:
        mix(queries, [past, own], hidden, mixed)
        return
    grouped = queries.reshape(len(keys), -1, queries.shape[2])
    scores = np.concatenate([grouped @ past[0].swapaxes(1, 2), grouped @ keys.swapaxes(1, 2)], axis=2)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    means = weights[:, :, :-1] @ past[1] + weights[:, :, -1:] * values
    means /= weights.sum(axis=2, keepdims=True)
    mixed[:] = means.reshape(mixed.shape)


def _mix_on_both(
    queries: Array, own: Pair, past: Pair, hidden: Array | None, mixed: Array, second_core: SecondCore
) -> None:
    middle = (past[0].shape[1] + own[0].shape[1]) // 2
    first, last = ((past[0][:, some], past[1][:, some]) for some in (slice(middle), slice(middle, None)))
    others, logarithms = np.empty_like(mixed), np.empty((2, *queries.shape[:2]), np.float32)
    second_core.both(
        lambda: mix(queries, [last, own], hidden, mixed, logarithms[0]),
        lambda: mix(queries, [first], None, others, logarithms[1]),
    )
    join(mixed, others, *logarithms)
