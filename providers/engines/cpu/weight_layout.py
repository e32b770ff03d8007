"""Weights on the Linux CPU, stored in the order in which OpenBLAS reads them fastest.

MLX: computes `x @ weight.T` with `sgemm` and passes a weight stored row by row as a transposed operand. OpenBLAS copies
it number by number into its own order before it multiplies, which is most of the work for the few rows of a decode
step.
Here: float32 weights are stored column by column, which OpenBLAS copies in whole vectors. Values and shapes stay.
Gain: on a Zen core, the products of a decode step of SmolLM2 135M take 100 ms instead of 160 for one row, and 85
instead of 150 for eight (`docs/performance.md`).
Delete when: MLX or the BLAS multiplies few rows by a transposed operand as fast as by a plain one.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any

import mlx.core as mx
from mlx.nn.layers.embedding import Embedding
from mlx.nn.layers.linear import Linear

from providers.engines.process import platform

__all__ = ["by_columns", "lay_out_for_blas", "lay_out_weights", "multipliers"]

_TALL = 2048
"""Rows."""


def lay_out_for_blas(model: Any, device: str, laid_out: Collection[str] = ()) -> None:
    """Lay the weights out anew where a preloaded BLAS multiplies by them; elsewhere do nothing.

    `laid_out`: names of the layers that are already.
    """
    if device == "cpu" and sys.platform.startswith("linux") and platform.find_blas() is not None:
        lay_out_weights(model, laid_out)


def lay_out_weights(model: Any, laid_out: Collection[str] = ()) -> None:
    """Store every float32 matrix that multiplies inputs column by column.

    Matrices are converted one after the other, so that at most one of them is in memory twice. Those that are not
    computed yet are laid out while they are in the processor's caches. Quantised weights stay: no BLAS reads them.
    """
    modules = [module for name, module in multipliers(model) if name not in laid_out]
    for module in modules:
        module.weight = by_columns(module.weight)
    mx.eval([module.weight for module in modules])  # in one call, during which Python does other work
    mx.clear_cache()


def multipliers(model: Any) -> list[tuple[str, Any]]:
    """Name and layer of every float32 matrix that multiplies inputs."""
    modules = model.named_modules()
    # An embedding is read row by row. Column by column is better only where it is the output's matrix too.
    kinds = (Linear,) if any(name.endswith("lm_head") for name, _ in modules) else (Linear, Embedding)
    return [
        (name, module)
        for name, module in modules
        if isinstance(module, kinds) and module.weight.dtype == mx.float32 and module.weight.ndim == 2
    ]


def by_columns(weight: mx.array) -> mx.array:
    """The same matrix, to be stored column by column once it is evaluated."""
    # A column of a tall matrix touches more cache lines than the processor has: copy in pieces.
    pieces = [mx.contiguous(rows.T) for rows in mx.split(weight, range(_TALL, weight.shape[0], _TALL))]
    return pieces[0].T if len(pieces) == 1 else mx.concatenate(pieces, axis=1).T
