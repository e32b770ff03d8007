"""The cache whose bound is in bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from providers.bounded_cache import BoundedCache


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12))))
def test_it_never_holds_more_than_its_bound(puts: list[tuple[int, int]]) -> None:
    cache: BoundedCache[int, int] = BoundedCache(20)
    last: dict[int, int] = {}
    for key, size in puts:
        cache.put(key, size, size)
        last[key] = size
        held = {each: found for each in range(6) if (found := cache.get(each)) is not None}
        assert sum(held.values()) == cache.nbytes <= 20
        assert len(held) == len(cache)
        assert held.items() <= last.items()
        assert held[key] == size


def test_what_was_used_last_stays() -> None:
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.put("a", 1, 1)
    cache.put("b", 2, 1)
    assert cache.get("a") == 1
    cache.put("c", 3, 1)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_what_is_larger_than_the_bound_is_not_kept_and_drops_nothing_else() -> None:
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.put("a", 1, 1)
    cache.put("b", 2, 3)
    assert (cache.get("a"), cache.get("b"), cache.nbytes) == (1, None, 1)
