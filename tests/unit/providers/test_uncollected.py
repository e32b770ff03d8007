"""Garbage is collected after the block as before it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from providers.uncollected import uncollected


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    collects = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if collects else gc.disable)()


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_again_after_the_block_and_after_an_error_in_it(collects: bool) -> None:
    (gc.enable if collects else gc.disable)()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled() is collects
    with pytest.raises(ValueError, match="no"), uncollected():
        raise ValueError("no")
    assert gc.isenabled() is collects


def test_what_the_block_made_is_not_walked_through_again() -> None:
    gc.enable()
    before = gc.get_freeze_count()
    with uncollected():
        kept = [[] for _ in range(1000)]
    assert gc.get_freeze_count() >= before + len(kept)
