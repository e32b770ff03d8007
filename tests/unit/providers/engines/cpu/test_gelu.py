"""The rational GELU of the CPU."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from providers.engines.cpu.gelu import RationalGELU, use_rational_gelu


def test_the_rational_gelu_is_the_exact_one_to_a_millionth() -> None:
    x = mx.concatenate([mx.linspace(-12, 12, 200_001), mx.array([-1e4, 1e4, 0.0])])
    error = mx.abs(RationalGELU()(x) - nn.gelu(x)) / mx.maximum(mx.abs(x), 1)  # type: ignore[no-untyped-call]
    assert error.max().item() < 5e-7


def test_only_exact_gelus_are_replaced() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.GELU(approx="tanh"))
    assert use_rational_gelu(nn.Sequential(nn.Linear(2, 2))) == 0
    assert use_rational_gelu(model) == 0 or type(model.layers[2]) is nn.GELU
