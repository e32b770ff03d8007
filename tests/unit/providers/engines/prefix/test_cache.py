"""Kept prompts share buffers, and writing to one sequence's cache changes no other."""

from __future__ import annotations

import itertools
from typing import Any

import mlx.core as mx
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.models.cache import KVCache, RotatingKVCache

from providers.engines.prefix.cache import PrefixCache
from providers.engines.prefix.common_prefix import common_prefix

TOKENS = list(range(10, 18))


class ArraysState(KVCache):  # type: ignore[misc]
    def is_trimmable(self) -> bool:
        return False


def common(one: list[int], other: list[int]) -> list[tuple[int, int]]:
    return list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


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


def test_a_prefix_that_costs_more_than_it_saves_is_not_found() -> None:
    prefixes = PrefixCache(1 << 20, least=5)
    prefixes.insert(TOKENS, [filled(KVCache)])
    for shared, found in ((5, 5), (4, 0)):
        prompt = [*TOKENS[:shared], 99, 98]
        assert prefixes.fetch(prompt)[1] == prefixes.kept(prompt, trims=True) == found


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


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6), min_size=1, max_size=8), st.data())
def test_what_is_found_is_the_longest_prefix_that_any_kept_prompt_shares(
    prompts: list[list[int]], data: st.DataObject
) -> None:
    prefixes = PrefixCache(1 << 20)
    for prompt in prompts:
        prefixes.insert(prompt, [filled(KVCache, len(prompt))])
    asked = data.draw(st.lists(st.integers(1, 3), min_size=2, max_size=7))

    shared = max(len(common(asked, prompt)) for prompt in prompts)
    assert shared == max(common_prefix(asked, prompt) for prompt in prompts)
    assert prefixes.fetch(asked)[1] == min(shared, len(asked) - 1)


def test_among_states_that_cannot_be_cut_the_longest_whole_prefix_is_found() -> None:
    prefixes = PrefixCache(1 << 20)
    for length in (2, 4, 8):
        prefixes.insert(TOKENS[:length], [filled(ArraysState, length)])
    assert prefixes.fetch([*TOKENS[:6], 99])[1] == 4
