"""Products with quantised weights on CUDA, for more than a few rows.

MLX: the time of `quantized_matmul` grows with every row. A step of a 7B model with 4 bits took 6 ms for one sequence,
38 for 8 and 190 for 64 (H200), where bfloat16 took 13.
Here: with more than a few rows, the weights of one product are unpacked, and multiplied as floating-point ones are.
Gain: a product of 3,584 by 37,888 numbers takes 0.40 ms for any few rows; packed, 0.11 ms for one row, 0.34 for 4 and
0.49 for 6.
Delete when: MLX's product of 64 rows with packed weights takes no longer than with unpacked ones.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.nn.layers.distributed import QuantizedShardedToAllLinear
from mlx.nn.layers.quantized import QuantizedLinear

from providers.engines.process.mlx_lm_internals.layers import change_class

__all__ = ["FEW", "multiply", "unpack_for_many_rows"]

FEW = 4
"""Rows up to which the packed weights are multiplied."""


def multiply(
    x: mx.array, weight: mx.array, scales: mx.array, biases: mx.array | None, *, group_size: int, bits: int, mode: str
) -> mx.array:
    """`x` times the transposed quantised weight."""
    if mode == "affine" and x.size > FEW * x.shape[-1]:
        unpacked = mx.dequantize(weight, scales, biases, group_size=group_size, bits=bits)
        return x @ unpacked.astype(x.dtype).T
    return mx.quantized_matmul(x, weight, scales, biases, transpose=True, group_size=group_size, bits=bits, mode=mode)


class UnpackedLinear(QuantizedLinear):
    """MLX's linear layer of quantised weights, which multiplies many rows by unpacked ones."""

    def __call__(self, x: mx.array) -> mx.array:
        product = _product(self, x)
        return product + self.bias if "bias" in self else product


class UnpackedShardedLinear(QuantizedShardedToAllLinear):
    """The same of a layer whose inputs are divided among the ranks: its output is the sum of theirs."""

    def __call__(self, x: mx.array) -> mx.array:
        product: mx.array = mx.distributed.all_sum(_product(self, x), group=self.group)
        return product + self.bias if "bias" in self else product


_UNPACKED: dict[type[Any], type[Any]] = {
    QuantizedLinear: UnpackedLinear,
    QuantizedShardedToAllLinear: UnpackedShardedLinear,
}


def unpack_for_many_rows(model: Any) -> None:
    """Let every quantised linear layer of the model unpack its weights for many rows. They stay packed in memory."""
    for _, module in model.named_modules():
        unpacked = _UNPACKED.get(type(module))
        if unpacked is not None:
            change_class(module, unpacked)


def _product(linear: Any, x: mx.array) -> mx.array:
    return multiply(
        x,
        linear.weight,
        linear.scales,
        linear.get("biases"),
        group_size=linear.group_size,
        bits=linear.bits,
        mode=linear.mode,
    )
