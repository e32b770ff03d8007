"""How weights lie in memory on the Linux CPU: as the BLAS likes to read them.

MLX computes `x @ weight.T` with `sgemm`, and hands it a weight that lies row by row as a transposed operand, which
OpenBLAS copies number by number into its own order before it multiplies: with the few rows of a decode step, that is
most of the work. A weight that lies column by column is copied in whole vectors. Values and shapes stay as they are.
On a Zen core, the products of a decode step of SmolLM2 135M take 100 ms instead of 160 for one row, and 85 instead of
150 for eight (`docs/performance.md`).
"""

from __future__ import annotations

import sys
from typing import Any

import mlx.core as mx
from mlx.nn.layers.embedding import Embedding
from mlx.nn.layers.linear import Linear

from providers.engines.process import platform

__all__ = ["lay_out_for_blas", "lay_out_weights"]

_TALL = 2048
"""Rows."""


def lay_out_for_blas(model: Any, device: str) -> None:
    """Lay the weights out anew where a preloaded BLAS multiplies with them; elsewhere do nothing."""
    if device == "cpu" and sys.platform.startswith("linux") and platform.find_blas() is not None:
        lay_out_weights(model)


def lay_out_weights(model: Any) -> None:
    """Store every float32 matrix that inputs are multiplied with column by column, one after the other: at no time is
    there more than one of them twice. Quantised weights are left alone, for no BLAS reads them."""
    modules = model.named_modules()
    # An embedding is read row by row; only where it is the output's matrix too is it worth more the other way round.
    kinds = (Linear,) if any(name.endswith("lm_head") for name, _ in modules) else (Linear, Embedding)
    for _, module in modules:
        if isinstance(module, kinds) and module.weight.dtype == mx.float32 and module.weight.ndim == 2:
            module.weight = _by_columns(module.weight)
    mx.clear_cache()


def _by_columns(weight: mx.array) -> mx.array:
    # A column of a tall matrix touches more cache lines than there are: it is copied in pieces.
    pieces = [mx.contiguous(rows.T) for rows in mx.split(weight, range(_TALL, weight.shape[0], _TALL))]
    laid_out = pieces[0].T if len(pieces) == 1 else mx.concatenate(pieces, axis=1).T
    mx.eval(laid_out)
    return laid_out
