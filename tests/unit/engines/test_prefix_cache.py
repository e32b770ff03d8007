"""Kept prompts are shared, not copied, and nobody's writing shows in anybody else's."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import KVCache, RotatingKVCache

from providers.engines.prefix_cache import PrefixCache

TOKENS = list(range(10, 18))


def filled(kind: Any, tokens: int = len(TOKENS)) -> Any:
    cache = kind()
    values = mx.arange(tokens, dtype=mx.float32).reshape(1, 1, tokens, 1)
    cache.update_and_fetch(values, values)
    return cache


def keys(cache: Any) -> list[float]:
    found: list[float] = cache.keys_and_values()[0].reshape(-1).tolist()
    return found


def kept(kind: Any = KVCache) -> PrefixCache:
    prefixes = PrefixCache(1 << 20)
    prefixes.insert(TOKENS, [filled(kind)])
    return prefixes


def test_what_is_fetched_holds_the_common_prefix_and_no_more() -> None:
    (cache,), cached = kept().fetch([*TOKENS[:5], 99, 98])  # type: ignore[misc]
    assert (cached, cache.offset, keys(cache)) == (5, 5, [0, 1, 2, 3, 4])


def test_writing_to_what_was_fetched_changes_neither_the_kept_nor_another_copy() -> None:
    prefixes = kept()
    prompt = [*TOKENS[:5], 99]
    (first,), _ = prefixes.fetch(prompt)  # type: ignore[misc]
    (second,), _ = prefixes.fetch(prompt)  # type: ignore[misc]
    new = mx.full((1, 1, 3, 1), 100.0)
    first.update_and_fetch(new, new)
    second.update_and_fetch(-new, -new)

    assert keys(first) == [0, 1, 2, 3, 4, 100, 100, 100]
    assert keys(second) == [0, 1, 2, 3, 4, -100, -100, -100]
    (again,), cached = prefixes.fetch([*TOKENS, 7])  # type: ignore[misc]
    assert (cached, keys(again)) == (8, [0, 1, 2, 3, 4, 5, 6, 7])


def test_a_prompt_that_is_kept_whole_is_fed_its_last_token_again() -> None:
    (cache,), cached = kept().fetch(TOKENS)  # type: ignore[misc]
    assert (cached, cache.offset) == (7, 7)


def test_other_kinds_of_cache_are_copied_as_mlx_lm_does() -> None:
    prefixes = PrefixCache(1 << 20)
    rotating = filled(lambda: RotatingKVCache(max_size=16))
    prefixes.insert(TOKENS, [rotating])
    (cache,), cached = prefixes.fetch([*TOKENS, 1])  # type: ignore[misc]
    new = mx.full((1, 1, 1, 1), 100.0)
    cache.update_and_fetch(new, new)
    assert (cached, cache.offset, rotating.offset) == (8, 9, 8)
