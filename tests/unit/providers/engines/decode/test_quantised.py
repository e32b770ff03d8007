"""Products with quantised weights, of few rows and of many."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx import nn

from providers.engines.decode.quantised import FEW, UnpackedLinear, unpack_for_many_rows


@pytest.mark.parametrize("rows", [1, FEW, FEW + 1, 40])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_products_are_those_of_packed_weights(bits: int, bias: bool, rows: int) -> None:
    mx.random.seed(1)
    linear = nn.Linear(64, 96, bias=bias).to_quantized(group_size=32, bits=bits)
    x = mx.random.normal((rows, 1, 64))
    expected = linear(x)
    model = nn.Sequential(linear)
    unpack_for_many_rows(model)

    assert type(model.layers[0]) is UnpackedLinear
    assert mx.allclose(model(x), expected, atol=1e-5)
