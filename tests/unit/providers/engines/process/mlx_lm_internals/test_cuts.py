"""Sequences leave a batch, and what is kept of the others is what mlx-lm keeps."""

from __future__ import annotations

import copy
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import BatchKVCache, BatchRotatingKVCache, CacheList

from providers.engines.process.mlx_lm_internals.cuts import keep_places

LENGTHS = [3, 40, 17, 150]


def filled(kind: type[Any], *arguments: int) -> Any:
    """A cache with sequences of these lengths, which end at the same place."""
    longest = max(LENGTHS)
    layer = kind(*arguments, [longest - length for length in LENGTHS])
    keys = mx.random.normal((len(LENGTHS), 2, longest, 4))
    layer.update_and_fetch(keys, 2 * keys)
    return layer


def mlx_lm(layers: list[Any], keep: list[int]) -> list[Any]:
    others = copy.deepcopy(layers)
    for layer in others:
        layer.filter(keep)
    return others


@pytest.mark.parametrize("keep", [[0], [3], [0, 2], [1, 3], [0, 1, 2, 3]])
def test_the_others_keep_their_keys_and_places(keep: list[int]) -> None:
    layers = [
        filled(BatchKVCache),
        CacheList(filled(BatchKVCache), filled(BatchKVCache)),  # type: ignore[no-untyped-call]
        filled(BatchRotatingKVCache, 64),
        filled(BatchKVCache),
    ]
    expected = mlx_lm(layers, keep)
    keep_places(layers, keep)
    for own, other in zip(layers, expected, strict=True):
        for place in range(len(keep)):
            kept, wanted = own.extract(place), other.extract(place)
            for part, twin in zip(getattr(kept, "caches", [kept]), getattr(wanted, "caches", [wanted]), strict=True):
                assert mx.array_equal(part.keys, twin.keys)
                assert mx.array_equal(part.values, twin.values)
                assert part.offset == twin.offset


def test_what_all_are_padded_by_is_cut_off() -> None:
    layer = filled(BatchKVCache)
    keep_places([layer], [0, 2])
    assert (layer._idx, layer.left_padding.tolist()) == (17, [14, 0])
    layer.update_and_fetch(mx.ones((2, 2, 1, 4)), mx.ones((2, 2, 1, 4)))
    assert [layer.extract(place).keys.shape[2] for place in range(2)] == [4, 18]
