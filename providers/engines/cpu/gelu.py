"""The exact GELU on the Linux CPU, as a rational function.

MLX: `erf` takes 28 ns per value, more than half of an encoder's time (400 of 690 ms for a batch of 128 short texts in
MiniLM).
Here: the distribution function of the normal distribution is x·P(x²)/Q(x²) + ½. The coefficients were fitted by
iteratively reweighted least squares on [0, 5.2], with scipy's `erf` as reference. The error is under 3e-7 of
max(1, |x|).
Gain: the function takes a fifth of the time of `erf`.
Delete when: MLX's `erf` takes at most 6 ns per value on a CPU.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.nn.layers.activations import GELU
from mlx.nn.layers.base import Module

__all__ = ["RationalGELU", "use_rational_gelu"]

_BOUND = 5.2
"""From here on the function is 0 or 1, to float32's precision."""
_P = (7.402589289995376e-06, 4.012062563560903e-04, 6.047782953828573e-03, 5.711958929896355e-02, 3.989400267601013e-01)
_Q = (
    6.184484959703695e-07,
    1.4586922770831734e-04,
    3.184916451573372e-03,
    4.182931035757065e-02,
    3.098207712173462e-01,
    1.0,
)


class RationalGELU(Module):
    """Replaces the exact `nn.GELU()`, in float32."""

    def __call__(self, x: mx.array) -> mx.array:
        clipped = mx.clip(x, -_BOUND, _BOUND)
        square = clipped * clipped
        return x * (clipped * _horner(_P, square) / _horner(_Q, square) + 0.5)


def _horner(coefficients: tuple[float, ...], x: mx.array) -> mx.array:
    first, second, *rest = coefficients
    value = x * first + second
    for coefficient in rest:
        value = value * x + coefficient
    return value


def use_rational_gelu(model: Any) -> int:
    """Replace every exact GELU among the model's layers. Returns how many there were."""
    replaced = 0
    for module in model.modules():
        for name, child in [*module.items()]:
            if type(child) is GELU and child._approx == "none":
                setattr(module, name, RationalGELU())  # type: ignore[no-untyped-call]
                replaced += 1
    return replaced
