"""The functions that replace mlx-lm's on the Linux CPU agree with them to float32 rounding."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models import activations, base, llama
from mlx_lm.models.cache import QuantizedKVCache, make_prompt_cache

from providers.engines.cpu import attention as lm_cpu
from providers.engines.cpu.attention import attention, swiglu, use_fast_exponentials
from providers.engines.language.loading import load_language_model
from providers.spec import ModelSpec
from tests.unit.providers.engines import tiny

BATCH, HEADS, LENGTH, POSITIONS, WIDTH = 2, 4, 11, 19, 8


def tensors(heads: int = 2) -> tuple[mx.array, mx.array, mx.array]:
    keys = mx.random.split(mx.random.key(3), 3)
    shapes = ((HEADS, LENGTH), (heads, POSITIONS), (heads, POSITIONS))
    made = [4 * mx.random.normal((BATCH, *shape, WIDTH), key=key) for shape, key in zip(shapes, keys, strict=True)]
    return made[0], made[1], made[2]


def band() -> mx.array:
    """The mask of a sliding window, (length, positions)."""
    row, column = mx.arange(POSITIONS - LENGTH, POSITIONS)[:, None], mx.arange(POSITIONS)[None]
    return (column <= row) & (column > row - 5)


def padded() -> mx.array:
    """The mask of a batch whose second sequence has three positions less, (batch, 1, length, positions)."""
    starts = mx.array([0, 3])[:, None, None, None]
    return band()[None, None] & (mx.arange(POSITIONS) >= starts)


MASKS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "causal": lambda: "causal",
    "band": band,
    "padded": padded,
    "added": lambda: mx.where(padded(), 0.5, -1e9),
    "one for all queries": lambda: mx.arange(POSITIONS)[None] != 2,
    "a head each": lambda: mx.broadcast_to(padded(), (BATCH, HEADS, LENGTH, POSITIONS)),
}


@pytest.fixture(params=["few scores", "many scores"], autouse=True)
def many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numpy computes the exponentials of many scores."""
    if request.param == "many scores":
        monkeypatch.setattr(lm_cpu, "_MANY", 1)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("heads", [1, 2, HEADS])
def test_attention_is_mlx_lms(mask: str, heads: int) -> None:
    given = tensors(heads)
    expected = base.scaled_dot_product_attention(*given, cache=None, scale=0.3, mask=MASKS[mask]())

    found = attention(*given, cache=None, scale=0.3, mask=MASKS[mask]())

    assert found.shape == expected.shape
    assert mx.allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shift", [-300.0, -60.0, 0.0, 60.0, 300.0])
def test_scores_may_be_far_from_zero(shift: float) -> None:
    queries, keys, values = tensors()
    # One more number of each query and key, which is the same: it adds to all scores.
    queries, keys = (
        mx.concatenate([some, mx.full((*some.shape[:3], 1), number)], axis=-1)
        for some, number in ((queries, 1.0), (keys, shift))
    )

    found = attention(queries, keys, values, cache=None, scale=1.0, mask="causal")

    expected = base.scaled_dot_product_attention(queries, keys, values, None, 1.0, "causal")
    assert mx.allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shifts", [(0.0, 0.0), (-300.0, 0.0), (0.0, 300.0), (60.0, -60.0), (1e4, 0.0), (0.0, 1e4)])
def test_means_of_two_halves_of_the_positions_are_those_of_all(shifts: tuple[float, float]) -> None:
    queries, keys, values = (np.array(some)[0] for some in tensors())
    middle = POSITIONS - LENGTH - 3
    queries[..., 0] = 1.0  # adds this number of each key to all its scores
    keys[:, :middle, 0], keys[:, middle:, 0] = shifts
    parts = [(keys[:, some], values[:, some]) for some in (slice(middle), slice(middle, None))]
    hidden = lm_cpu.later_ones(LENGTH)
    expected, found, others = (np.empty_like(queries) for _ in range(3))
    lm_cpu.mix(queries, parts, hidden, expected)
    logarithms = np.empty((2, HEADS, LENGTH), np.float32)

    lm_cpu.mix(queries, parts[:1], None, found, logarithms[0])
    lm_cpu.mix(queries, parts[1:], hidden, others, logarithms[1])
    lm_cpu.join(found, others, *logarithms)

    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_scores_far_apart_give_no_nan() -> None:
    queries, keys, values = tensors()

    found = attention(queries * 1e3, keys * 1e3, values, cache=None, scale=1.0, mask="causal")

    assert mx.allclose(found, base.scaled_dot_product_attention(queries * 1e3, keys * 1e3, values, None, 1.0, "causal"))


def test_what_it_does_not_compute_is_left_to_mlx_lm(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[Any] = []
    monkeypatch.setattr(lm_cpu, "_mlx_attention", lambda *given, **named: left.append(named) or given[0])
    queries, keys, values = tensors()
    half = [array.astype(mx.float16) for array in (queries, keys, values)]

    attention(queries[:, :, :1], keys, values, cache=None, scale=1.0, mask=None)
    attention(*half, cache=None, scale=1.0, mask=None)
    attention(queries, keys, values, cache=None, scale=1.0, mask=None, sinks=mx.zeros(HEADS))
    attention(queries, keys, values, cache=QuantizedKVCache(), scale=1.0, mask=None)

    assert len(left) == 4


def test_swiglu_is_mlx_lms() -> None:
    gate = mx.array([-1e30, -200.0, -87.5, -30.0, -1.0, -1e-6, 0.0, 1e-6, 1.0, 30.0, 200.0, 1e30])
    x = mx.full(gate.shape, 3.0)

    assert mx.allclose(swiglu(gate, x), activations.swiglu(gate, x), rtol=1e-6, atol=1e-6)
    prompt = [mx.broadcast_to(array, (2, 9, 12)) for array in (gate, x)]
    assert mx.allclose(swiglu(*prompt), activations.swiglu(*prompt), rtol=1e-6, atol=1e-6)
    half = gate[1:-1].astype(mx.float16), x[1:-1].astype(mx.float16)
    assert mx.array_equal(swiglu(*half), activations.swiglu(*half))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="for the Linux CPU")
def test_a_model_on_the_linux_cpu_gives_the_same_logits(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_language_model(ModelSpec(name="tiny", path=str(tiny_folder)), "cpu", lambda *_: None).model
    assert (llama.swiglu, llama.scaled_dot_product_attention) == (swiglu, attention)
    prompt = mx.random.randint(0, 200, (3, 40), key=mx.random.key(1))

    def logits() -> list[mx.array]:
        cache = make_prompt_cache(model)
        return [model(tokens, cache=cache) for tokens in (prompt[:, :24], prompt[:, 24:], prompt[:, :1])]

    found = logits()
    monkeypatch.setattr(llama, "swiglu", activations.swiglu)
    monkeypatch.setattr(llama, "scaled_dot_product_attention", base.scaled_dot_product_attention)

    for ours, theirs in zip(found, logits(), strict=True):
        assert mx.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
        assert mx.array_equal(ours.argmax(-1), theirs.argmax(-1))


def test_on_a_gpu_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama, "swiglu", activations.swiglu)

    use_fast_exponentials(llama.Model(llama.ModelArgs.from_dict(tiny.config())), "metal")

    assert llama.swiglu is activations.swiglu
