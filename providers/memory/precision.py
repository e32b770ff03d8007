"""The floating-point type in which an engine computes: one rule for the engine and for the estimate of its memory."""

from __future__ import annotations

import sys

from providers.engines.process import platform
from providers.spec import ModelSpec

__all__ = ["choose_dtype"]

WORKING_BYTES = 1 << 30
"""Memory to leave for activations and caches when weights are widened."""


def choose_dtype(parameters: int, spec: ModelSpec, device: str) -> tuple[str | None, str]:
    """The floating-point type to convert weights to (None: keep the present one), and why.

    Args:
        parameters: count of the model's weights; a quantised weight counts as one.
        device: `cpu`, `metal` or `cuda`.
    """
    if spec.dtype != "auto":
        return spec.dtype, f"{spec.dtype}, as requested"
    if device != "cpu" or not sys.platform.startswith("linux"):
        return None, "kept as shipped"
    if spec.quantize is not None:
        return "float32", f"float32 before quantising to {spec.quantize} bits"
    needed = parameters * 4
    available = platform.available_memory() // (spec.loading_together or spec.replicas)
    if spec.max_memory is not None:
        available = min(available, spec.max_memory)
    figures = f"{needed / 1e9:.1f} GB of {available / 1e9:.1f} GB"
    if needed + WORKING_BYTES > available:
        return None, f"kept as shipped: float32, the fast choice on this CPU, would take {figures}"
    return "float32", f"float32, the fast choice on this CPU ({figures})"
