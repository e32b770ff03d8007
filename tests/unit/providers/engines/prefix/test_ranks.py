"""Ranks that share a model keep the same prompts, whatever their parts of them take."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache

from providers.engines.group.joining import Follower, Leader
from providers.engines.group.ranks import Ranks
from providers.engines.prefix.cache import PrefixCache, make_prefix_cache
from providers.spec import ModelSpec
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.group.test_ranks import World, end

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


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────

PROMPT = list(range(1000, 1064))
HEADS = (2, 8)


class Group:
    """Two ranks with their own folders of one model, and what both do side by side."""

    def __init__(self, folder: Path) -> None:
        self._model, self.kept = tiny.write_folder(folder / "model"), folder / "kept"
        self._ours, self._theirs = socket.socketpair()
        self._ranks = (Leader(World(0), [self._ours], end=end), Follower(World(1), self._theirs, end=end))
        self.room = 1 << 30
        self._caches: list[PrefixCache] = []
        self.restart()

    def restart(self) -> None:
        spec = ModelSpec(
            name="m",
            path=str(self._model),
            tensor_parallel=2,
            prefix_cache_dir=str(self.kept),
            prefix_cache_bytes=self.room,
        )
        with ThreadPoolExecutor(2) as both:
            made = both.map(lambda ranks: make_prefix_cache(spec, self._model, "float32", "cpu", ranks), self._ranks)
            self._caches = list(made)

    def each(self, does: Callable[[PrefixCache, int], T]) -> list[T]:
        """What this returns for the prefix cache and the number of each rank."""
        with ThreadPoolExecutor(2) as both:
            return list(both.map(does, self._caches, range(2)))

    def keep(self, *prompts: list[int]) -> None:
        self.each(lambda prefixes, rank: [prefixes.insert(prompt, filled(HEADS[rank])) for prompt in prompts])

    def write(self) -> None:
        for _ in range(10):
            self.each(lambda prefixes, _: prefixes.write_one())

    def cached(self, prompt: list[int]) -> list[int]:
        return self.each(lambda prefixes, _: prefixes.fetch([*prompt, 7])[1])

    def files(self) -> list[Path]:
        """The file of rank 0 first: its part is the smaller one."""
        return sorted(self.kept.glob("*/*.safetensors"), key=lambda path: path.stat().st_size)

    def close(self) -> None:
        self._ours.shutdown(socket.SHUT_RDWR)
        self._ours.close()
        self._theirs.close()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    made = Group(tmp_path)
    yield made
    made.close()


def test_each_rank_finds_its_part_of_a_prompt_after_a_restart(group: Group) -> None:
    group.keep(PROMPT)
    group.write()
    group.restart()

    assert len({path.parent for path in group.files()}) == 2
    found = group.each(lambda prefixes, _: prefixes.fetch([*PROMPT, 7]))
    assert [cached for _, cached in found] == [64, 64]
    assert [layers[0].keys.shape[1] for layers, _ in found] == list(HEADS)


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("harm", ["damaged", "deleted"])
def test_a_prompt_whose_part_is_missing_on_one_rank_is_used_by_none(group: Group, rank: int, harm: str) -> None:
    group.keep(PROMPT)
    group.write()
    part = group.files()[rank]
    if harm == "deleted":
        part.unlink()
    else:
        part.write_bytes(part.read_bytes()[:-9] + b"different")
    group.restart()

    assert group.cached(PROMPT) == [0, 0]
    if (rank, harm) != (0, "deleted"):  # else no rank looks for it
        assert group.files() == []
    group.keep(PROMPT)
    group.write()
    group.restart()
    assert group.cached(PROMPT) == [64, 64]


def test_a_part_that_cannot_be_written_leaves_no_other_behind(group: Group) -> None:
    group.keep(PROMPT)
    group.write()
    (own, other) = (path.parent for path in group.files())
    group.restart()
    for path in (*other.iterdir(), other):
        path.unlink() if path.is_file() else path.rmdir()
    other.write_text("in the way")
    more = [token + 500 for token in PROMPT]
    group.keep(more)
    group.write()

    assert [path.parent for path in group.files()] == [own]
    group.restart()
    assert group.cached(more) == [0, 0]


def test_the_ranks_write_and_read_the_same_prompts_in_a_small_cache(group: Group) -> None:
    group.room = ROOM
    group.restart()
    prompts = [[token + start for token in PROMPT] for start in range(0, 600, 100)]
    group.keep(*prompts)
    group.write()
    group.restart()

    found = [group.cached(prompt) for prompt in prompts]
    assert found == [[0, 0], [0, 0], *[[64, 64]] * 4]
    assert len(group.files()) == 8
    # What was read took the place of other prompts, of the same ones on both ranks.
    kept, alike = group.each(lambda prefixes, _: [prefixes.kept(prompt, trims=True) for prompt in prompts])
    assert kept == alike == [0, 0, 0, 64, 64, 64]
