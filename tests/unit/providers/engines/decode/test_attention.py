"""Attention of one query per sequence, and what a step knows of its mask."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import BatchKVCache

from providers.engines.decode import cuda_attention, cuda_prefill
from providers.engines.decode.attention import DecodeAttention, grouped
from providers.engines.decode.masks import MASKS

SCALE = 0.25


def arrays(sequences: int = 3, positions: int = 20) -> tuple[mx.array, mx.array, mx.array]:
    mx.random.seed(2)
    shapes = [(sequences, 6, 1, 16), (sequences, 2, positions, 16), (sequences, 2, positions, 16)]
    queries, keys, values = (mx.random.normal(shape) for shape in shapes)
    return queries, keys, values


def batch(*padding: int, tokens: int = 20) -> Any:
    cache: Any = BatchKVCache(list(padding))  # type: ignore[no-untyped-call]
    cache._idx = tokens - 1
    return cache


@pytest.fixture(autouse=True)
def follow() -> None:
    MASKS.follow()


def test_grouped_products_are_mlx_attention() -> None:
    queries, keys, values = arrays()
    mask = batch(0, 7, 19).make_mask(1)
    expected = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=SCALE, mask=mask)
    found = grouped(queries, keys, values, MASKS.summands(mask, mx.float32), SCALE)
    assert mx.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("positions", [19, 20])
def test_a_mask_that_hides_more_than_padding_is_recognised(positions: int) -> None:
    queries, keys, values = arrays()
    mask = mx.broadcast_to(mx.arange(20) < positions, (3, 1, 1, 20))
    cache = batch(0, 7, 19)
    cache.make_mask(1)
    assert MASKS.starts(mask) is None
    found = DecodeAttention(cuda=True)(queries, keys, values, cache, SCALE, mask)
    expected = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=SCALE, mask=mask)
    assert mx.allclose(found, expected, atol=1e-5)


def test_starts_are_those_when_the_mask_was_made() -> None:
    cache = batch(0, 7, 19)
    mask = cache.make_mask(1)
    cache.left_padding += 1
    starts = MASKS.starts(mask)
    assert starts is not None
    assert starts.tolist() == [0, 7, 19]


def test_a_window_is_not_only_padding() -> None:
    for count in (1, 5):
        assert MASKS.starts(batch(0, 7).make_mask(count, window_size=4)) is None


@pytest.mark.parametrize(("padding", "tokens"), [((0, 0, 0), 21), ((0, 3, 9), 21), ((0, 2, 4), 10)])
@pytest.mark.usefixtures("stand_ins")
def test_prompts_are_attended_from_where_they_begin(
    padding: tuple[int, ...], tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind kept tokens, and at the begin of a conversation: `tokens` are in the cache after the five of the step."""
    calls: list[Any] = []
    attend = cuda_prefill.attend

    def attend_noted(*arguments: Any) -> mx.array:
        calls.append(arguments[3])
        return attend(*arguments)

    monkeypatch.setattr(cuda_prefill, "attend", attend_noted)
    mx.random.seed(3)
    queries = mx.random.normal((3, 6, 5, 16))
    keys, values = (mx.random.normal((3, 2, tokens, 16)) for _ in range(2))
    cache = batch(*padding, tokens=tokens - 4)
    found = DecodeAttention(cuda=True)(queries, keys, values, cache, SCALE, cache.make_mask(5))
    array = batch(*padding, tokens=tokens - 4).make_mask(5, return_array=True)
    expected = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=SCALE, mask=array)
    assert mx.allclose(found, expected, atol=1e-5)
    (starts,) = calls
    assert (starts is None) == (not any(padding))
    assert starts is None or tuple(starts.tolist()) == padding


def test_prompts_without_padding_before_them_are_causal() -> None:
    assert batch(0, 0).make_mask(5) == "causal"
    assert isinstance(batch(0, 2).make_mask(5), mx.array)
    assert isinstance(batch(0, 0).make_mask(5, return_array=True), mx.array)
    assert isinstance(batch(0, 0).make_mask(5, window_size=2), mx.array)


def test_padding_that_came_later_is_noticed() -> None:
    cache = batch(0, 0)
    assert cache.make_mask(5) == "causal"
    cache.left_padding += mx.array([0, 3])
    assert isinstance(cache.make_mask(5), mx.array)


def test_layers_share_the_numbers_of_a_mask() -> None:
    mask, other = batch(0, 7).make_mask(1), batch(1, 7).make_mask(1)
    numbers = MASKS.summands(mask, mx.float32)
    assert MASKS.summands(other, mx.float32) is not numbers
    assert MASKS.summands(mask, mx.float32) is numbers


@pytest.mark.parametrize(
    ("blocks", "length", "splits"), [(4, 576, 9), (256, 576, 1), (256, 1024, 1), (256, 8000, 8), (2048, 576, 1)]
)
def test_few_sequences_and_long_ones_are_cut(blocks: int, length: int, splits: int) -> None:
    assert cuda_attention._splits(blocks, length) == splits


def test_building_runs_both_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = []

    def attend(queries: mx.array, keys: mx.array, *_: Any) -> mx.array:
        splits.append(cuda_attention._splits(len(queries) * keys.shape[1], keys.shape[2]))
        return queries

    monkeypatch.setattr(cuda_attention, "attend", attend)
    for shared in (1, 4, 32):
        cuda_attention.build((32, shared, 128), mx.bfloat16, SCALE)
    assert [count > 1 for count in splits] == [True, False] * 3


@pytest.mark.skipif(mx.default_device() == mx.cpu or mx.metal.is_available(), reason="CUDA's kernel")
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])
@pytest.mark.parametrize("width", cuda_attention._WIDTHS)
def test_the_kernel_is_mlx_attention(width: int, dtype: mx.Dtype) -> None:
    for heads, shared, positions in ((28, 4, 577), (8, 8, 30), (32, 2, 3000)):
        queries = mx.random.normal((3, heads, 1, width)).astype(dtype)
        keys, values = (mx.random.normal((3, shared, positions, width)).astype(dtype) for _ in range(2))
        starts = mx.array([0, 11, positions - 1], dtype=mx.int32)
        seen = mx.where((mx.arange(positions) >= starts[:, None])[:, None, None], 0.0, -1e30)
        wide = [array.astype(mx.float32) for array in (queries, keys, values)]
        expected = grouped(*wide, seen, SCALE)
        found = cuda_attention.attend(queries, keys, values, starts, SCALE)
        assert mx.linalg.norm(found - expected) < 6e-3 * mx.linalg.norm(expected)


@pytest.mark.skipif(mx.default_device() == mx.cpu or mx.metal.is_available(), reason="CUDA's kernel")
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])
@pytest.mark.parametrize("width", cuda_prefill._WIDTHS)
def test_the_kernel_for_prompts_is_mlx_attention(width: int, dtype: mx.Dtype) -> None:
    for heads, shared, count, positions in ((28, 4, 519, 519), (8, 8, 3, 30), (32, 2, 200, 1000), (6, 2, 65, 129)):
        queries = mx.random.normal((3, count, heads, width)).astype(dtype).swapaxes(1, 2)
        keys, values = (mx.random.normal((3, shared, positions, width)).astype(dtype) for _ in range(2))
        starts = mx.array([0, (positions - count) // 2, positions - count], dtype=mx.int32)
        places = mx.arange(positions)
        seen = (places >= starts[:, None, None, None]) & (places <= places[-count:, None])
        wide = [array.astype(mx.float32) for array in (queries, keys, values)]
        expected = mx.fast.scaled_dot_product_attention(*wide, scale=SCALE, mask=seen)
        found = cuda_prefill.attend(queries, keys, values, starts, SCALE)
        assert mx.linalg.norm(found - expected) < 6e-3 * mx.linalg.norm(expected)
