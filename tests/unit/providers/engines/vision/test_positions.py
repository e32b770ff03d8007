"""Positions of tokens around and inside pictures, as Qwen2-VL counts them."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import KVCache

from providers.chat.types import ImagePart
from providers.engines.vision.pictures import Expansions, Found, Picture, Reading
from providers.engines.vision.positions import PositionCache, advance

IMAGE = 7
PART = ImagePart(1, 1, b"abc", "a1")


def picture(grid: tuple[int, int, int]) -> Picture:
    reading = Reading(tokens=[IMAGE] * int(np.prod(grid)), inputs={}, grid=grid)
    return Picture(expansion=Expansions(IMAGE).add("a", reading), part=PART)


def found(picture: Picture, ids: list[int], sequence: int = 0) -> list[Found]:
    places, rows = picture.expansion.rows(np.array(ids, dtype=np.int32))
    return [Found(picture, sequence, places, rows)] if len(places) else []


def test_text_is_counted() -> None:
    cache = PositionCache()

    first, second = (advance(cache, (1, count), []) for count in (3, 2))

    assert first.tolist() == [[[0, 1, 2]]] * 3
    assert second.tolist() == [[[3, 4]]] * 3


def test_a_picture_has_the_places_of_its_grid_and_text_goes_on_behind_the_largest() -> None:
    seen = picture((1, 2, 3))
    ids = [5, *seen.expansion.tokens, 5, 5]

    got = advance(PositionCache(), (1, len(ids)), found(seen, ids))

    assert got[:, 0].tolist() == [
        [0, 1, 1, 1, 1, 1, 1, 4, 5],
        [0, 1, 1, 1, 2, 2, 2, 4, 5],
        [0, 1, 2, 3, 1, 2, 3, 4, 5],
    ]


def test_chunks_and_cuts_inside_a_picture_change_nothing() -> None:
    seen = picture((1, 3, 2))
    ids = [5, 5, *seen.expansion.tokens, 5]
    whole = advance(PositionCache(), (1, len(ids)), found(seen, ids))
    cache = PositionCache()

    for start in range(0, 6, 2):
        advance(cache, (1, 2), found(seen, ids[start : start + 2]))
    cache.trim(3)
    rest = advance(cache, (1, len(ids) - 3), found(seen, ids[3:]))

    assert rest.tolist() == whole[:, :, 3:].tolist()


def test_sequences_of_a_batch_are_counted_each_by_itself() -> None:
    seen = picture((1, 1, 4))
    caches = [PositionCache(), PositionCache(), PositionCache()]
    ids = [*seen.expansion.tokens, 5]
    advance(caches[0], (1, len(ids)), found(seen, ids))
    advance(caches[1], (1, 2), [])

    batch = KVCache.merge(caches)
    got = advance(batch, (3, 1), [])

    assert got[0].tolist() == [[5], [2], [0]]
    assert mx.array_equal(got[0], got[2])
    left = batch.extract(1)
    assert advance(left, (1, 1), [])[0].tolist() == [[3]]
