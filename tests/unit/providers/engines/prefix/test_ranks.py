"""Ranks that share a model keep the same prompts, whatever their parts of them take."""

from __future__ import annotations

from typing import Any, TypeVar

import mlx.core as mx
from mlx_lm.models.cache import KVCache

from providers.engines.group.ranks import Ranks
from providers.engines.prefix.cache import PrefixCache

T = TypeVar("T")


ROOM = 4 * 16_384
"""Bytes of four prompts of rank 0."""


class Recorded(Ranks):
    """Rank 0, whose decisions are recorded, or a rank that takes recorded ones."""

    def __init__(self, decided: list[Any], *, leads: bool) -> None:
        self.leads = leads
        self._decided = decided

    def agree(self, value: T) -> T:
        if self.leads:
            self._decided.append(value)
            return value
        agreed: T = self._decided.pop(0)
        return agreed


def filled(heads: int) -> list[Any]:
    layer: Any = KVCache()  # type: ignore[no-untyped-call]
    layer.update_and_fetch(mx.ones((1, heads, 64, 4)), mx.ones((1, heads, 64, 4)))
    return [layer]


def test_another_rank_evicts_what_rank_0_evicts() -> None:
    decided: list[Any] = []
    first = PrefixCache(ROOM, ranks=Recorded(decided, leads=True))
    other = PrefixCache(ROOM, ranks=Recorded(decided, leads=False))
    for prefixes, heads in ((first, 2), (other, 8)):
        for start in range(0, 500, 100):
            prefixes.insert(range(start, start + 64), filled(heads))
        prefixes.shrink(first.nbytes // 2 if prefixes is first else 1 << 40)

    assert decided == []
    prompts = [list(range(start, start + 64)) for start in range(0, 500, 100)]
    kept, alike = ([bool(each.kept(prompt, trims=True)) for prompt in prompts] for each in (first, other))
    assert kept == alike == [False, False, False, True, True]
