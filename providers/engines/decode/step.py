"""Puts the parts of a faster decode step under a loaded model."""

from __future__ import annotations

from typing import Any

from mlx_lm.models import base

from providers.engines.decode.attention import DecodeAttention
from providers.engines.decode.fused import fuse_projections
from providers.engines.decode.layers import shorten_layers
from providers.engines.decode.masks import MASKS
from providers.engines.decode.quantised import unpack_for_many_rows
from providers.engines.process.mlx_lm_internals.layers import replace_function
from providers.spec import DecodeStep

__all__ = ["prepare_decode_step"]

_mlx_attention: Any = base.scaled_dot_product_attention


def prepare_decode_step(model: Any, device: str, choice: DecodeStep) -> None:
    """Make the model decode as `choice` has it; `auto` is `own` on CUDA and `mlx-lm` elsewhere.

    On a CPU, `own` is the fused projections only, which gain nothing: the attention there is in `engines.cpu`, whose
    products of single rows need projections apart. On Metal, which could not be measured, it is everything but the CUDA
    kernels.
    """
    if choice == "mlx-lm" or (choice == "auto" and device != "cuda"):
        return
    fuse_projections(model)
    if device == "cpu":
        return
    if device == "cuda":
        shorten_layers(model)
        unpack_for_many_rows(model)
    MASKS.follow()
    attention = DecodeAttention(cuda=device == "cuda")
    replace_function(model, "scaled_dot_product_attention", _mlx_attention, attention)
