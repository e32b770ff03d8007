"""Cuts of the sequences of a batch, each at its own place, in the layout of mlx-lm's caches, and which of them stay.

Beside the public names it uses `BatchKVCache._idx` and `.left_padding`, which `test_names.py` checks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import BatchKVCache, CacheList

__all__ = ["SPARE", "TokenOrder", "can_cut", "keep_ahead", "keep_places", "reorder"]

SPARE = 64
"""Places that no sequence uses any more, at the beginning of a batch's caches, before those are cut off."""


class TokenOrder:
    """In which order a sequence's keys lie in the caches of a batch, if it is not that of its tokens."""

    def __init__(self) -> None:
        self._order: deque[int] | None = None
        """The number in the text of each key, from the first; later keys are in order. None if all are."""

    def rotate(self, length: int, new: int, moved: int) -> None:
        """Move the first keys, `moved` of them, behind the first `length`; `new` tokens in order follow those."""
        if not moved and self._order is None:
            return
        order = self._order = deque() if self._order is None else self._order
        order.extend(range(len(order), length))
        order.rotate(-min(moved, length))
        order.extend(range(length, length + new))

    def places(self, length: int) -> list[int] | None:
        """Where the key of each of `length` tokens lies; None if they are in order."""
        if self._order is None:
            return None
        order = [*self._order, *range(len(self._order), length)]
        places = [0] * length
        for place, number in enumerate(order):
            places[number] = place
        return places


def can_cut(layer: Any) -> bool:
    """Whether `keep_ahead` knows the layout of a cache."""
    if isinstance(layer, CacheList):
        return all(map(can_cut, layer.caches))
    return isinstance(layer, BatchKVCache)


def keep_ahead(layers: Sequence[Any], lengths: list[int], kept: list[int], fed: int) -> None:
    """Forget rejected tokens in the caches of a batch, for each sequence its own number.

    mlx-lm's layout stays: sequences end at the same place and are padded on the left. The others' rejected keys are cut
    off. A sequence that kept fewer tokens than the longest has a gap; the sequence's first keys move into it, and its
    padding grows. Attention does not depend on the order of earlier keys, which carry their positions, and this moves a
    few keys instead of whole sequences.

    Args:
        lengths: tokens of each sequence before the `fed` ones.
        kept: how many of those each sequence keeps.
    """
    for layer in layers:
        if isinstance(layer, CacheList):
            keep_ahead(layer.caches, lengths, kept, fed)
        else:
            _keep_ahead(layer, lengths, kept, fed)


def _keep_ahead(layer: Any, lengths: list[int], kept: list[int], fed: int) -> None:
    most, begin = max(kept), layer._idx - fed
    layer.trim(fed - most)
    if min(kept) == most:
        return
    rows = [_tail(begin, length, count, most) for length, count in zip(lengths, kept, strict=True)]
    places = mx.array(rows)[:, None, :, None]
    end = begin + most
    for name in ("keys", "values"):
        whole = getattr(layer, name)
        whole[..., begin:end, :] = mx.take_along_axis(whole, places, axis=2)
    gaps = [most - count for count in kept]
    layer.offset = layer.offset - mx.array(gaps)
    layer.left_padding = layer.left_padding + mx.array(gaps)
    spare = end - max(length + count for length, count in zip(lengths, kept, strict=True))
    if spare >= SPARE:
        layer.keys, layer.values = layer.keys[..., spare:, :], layer.values[..., spare:, :]
        layer.left_padding = layer.left_padding - spare
        layer._idx -= spare


def _tail(begin: int, length: int, kept: int, most: int) -> list[int]:
    """From where the keys at `begin` and the following ones come, `most` of them, for a sequence that ends there."""
    gap = most - kept
    first = begin - length
    # A sequence shorter than the gap moves as a whole.
    unused = max(0, gap - length)
    moved = [*range(begin, begin + unused), *range(first, first + gap - unused)]
    return [*moved, *range(begin, begin + kept)]


def keep_places(layers: Sequence[Any], keep: Sequence[int]) -> None:
    """Keep the sequences at these places, and cut off what all of them are padded by.

    As `filter` of mlx-lm's caches, which computes and reads the padding in every layer and waits for the device each
    time: 40 ms for 28 layers on an H200. All layers pad a sequence alike, and what the last step used need not be
    computed.
    """
    places, spare = mx.array(list(keep)), None
    for layer in _parts(layers):
        if not isinstance(layer, BatchKVCache):
            layer.filter(keep)
            continue
        if spare is None:
            padding: Any = layer.left_padding.tolist()
            spare = min(padding[place] for place in keep)
        layer.offset, layer.left_padding = layer.offset[places], layer.left_padding[places] - spare
        if layer.keys is not None:
            layer.keys, layer.values = layer.keys[places, :, spare:], layer.values[places, :, spare:]
        layer._idx -= spare


def _parts(layers: Sequence[Any]) -> Iterator[Any]:
    for layer in layers:
        if isinstance(layer, CacheList):
            yield from _parts(layer.caches)
        else:
            yield layer


def reorder(layer: Any, places: list[int]) -> None:
    """Put the keys of a cache of one sequence in the order of its tokens, which lie at these places."""
    if isinstance(layer, CacheList):
        for part in layer.caches:
            reorder(part, places)
        return
    index = mx.array(places)
    layer.keys, layer.values = (mx.take(each, index, axis=2) for each in (layer.keys, layer.values))
