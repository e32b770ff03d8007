"""What is kept in memory, what makes room, and what is written to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache

from providers.engines.prefix import cache as module
from providers.engines.prefix.cache import PrefixCache, can_always_trim, make_prefix_cache, worth_keeping
from providers.engines.prefix.files import BLOCK, PrefixFiles
from providers.engines.prefix.fingerprint import model_identity
from providers.spec import ModelSpec

GIGABYTE = 1_000_000_000
TOKENS = list(range(1000, 1000 + 3 * BLOCK + 5))


def filled(tokens: int) -> Any:
    cache = KVCache()  # type: ignore[no-untyped-call]
    values = mx.arange(tokens, dtype=mx.float32).reshape(1, 1, tokens, 1)
    cache.update_and_fetch(values, values)  # type: ignore[no-untyped-call]
    return cache


def prompt(number: int) -> list[int]:
    return [number, *TOKENS]


def entry(number: int) -> tuple[list[int], list[Any]]:
    tokens = prompt(number)
    return tokens, [filled(len(tokens))]


SIZE = 2 * 256 * 4
"""Bytes of an `entry`: keys and values of 256 tokens, for which the cache has room."""


def files(folder: Path, model: str = "model") -> PrefixFiles:
    return PrefixFiles(folder, model, GIGABYTE)


def cached(prefixes: PrefixCache, *numbers: int) -> list[bool]:
    """Whether the entries of these numbers are found whole."""
    return [prefixes.fetch([*prompt(number), 5])[1] == len(prompt(number)) for number in numbers]


def written(kept: PrefixFiles, *numbers: int) -> list[int]:
    return [number for number in numbers if kept.holds(prompt(number))]


# ── in memory ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_entry_has_the_size_that_these_tests_count_with() -> None:
    assert entry(0)[1][0].nbytes == SIZE


def test_a_copy_is_kept_where_it_saves_sixteen_tokens() -> None:
    assert worth_keeping([10, 16, 20, 31, 32, 60], 0) == [16, 32, 60]
    assert worth_keeping([20, 35, 36], 20) == [36]
    assert worth_keeping([], 5) == []


def arrays() -> Any:
    return ArraysCache(2)  # type: ignore[no-untyped-call]


def rotating() -> Any:
    return RotatingKVCache(max_size=8)  # type: ignore[no-untyped-call]


def plain() -> Any:
    return KVCache()  # type: ignore[no-untyped-call]


def listed(*layers: Any) -> Any:
    return CacheList(*layers)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("layers", "cut"),
    [
        ([plain(), plain()], True),
        ([plain(), rotating()], False),
        ([arrays(), plain()], False),
        ([listed(plain(), plain())], True),
        ([listed(plain(), arrays())], False),
        ([listed(rotating())], False),
    ],
    ids=["attention", "sliding window", "state", "two attentions", "attention and state", "sliding window in a list"],
)
def test_only_caches_that_forget_nothing_can_always_be_cut(layers: list[Any], cut: bool) -> None:
    assert can_always_trim(layers) is cut


@pytest.mark.parametrize("bound", [0, -1])
def test_a_bound_of_nothing_turns_the_cache_off(tmp_path: Path, bound: int) -> None:
    prefixes = PrefixCache(bound, files=files(tmp_path))
    prefixes.insert(*entry(0))
    assert prefixes.fetch(prompt(0)) == (None, 0)
    assert prefixes.nbytes == 0
    assert not prefixes.write_one()


def test_only_a_cache_that_was_filled_is_kept() -> None:
    prefixes = PrefixCache(GIGABYTE)
    prefixes.insert([], [filled(3)])
    prefixes.insert(TOKENS[:3], [filled(3), plain()])
    assert prefixes.nbytes == 0
    assert prefixes.fetch(TOKENS) == (None, 0)


def test_what_is_larger_than_the_bound_replaces_nothing() -> None:
    prefixes = PrefixCache(SIZE)
    prefixes.insert(*entry(0))
    prefixes.insert([1] * 300, [filled(300)])
    assert cached(prefixes, 0) == [True]
    assert prefixes.nbytes == SIZE
    prefixes.insert(*entry(1))
    assert cached(prefixes, 0, 1) == [False, True]


def test_answers_go_before_questions_and_questions_before_what_all_share() -> None:
    prefixes = PrefixCache(3 * SIZE)
    prefixes.insert(*entry(0), kind="system")
    prefixes.insert(*entry(1))
    prefixes.insert(*entry(2), kind="user")
    prefixes.insert(*entry(3))
    assert cached(prefixes, 0, 1, 2, 3) == [True, False, True, True]


def test_a_prompt_of_one_token_finds_nothing_since_that_has_to_be_fed() -> None:
    prefixes = PrefixCache(GIGABYTE)
    prefixes.insert([5], [filled(1)])
    assert prefixes.fetch([5]) == (None, 0)
    assert prefixes.fetch([5, 6])[1] == 1


def state() -> Any:
    made = arrays()
    made[0] = mx.array([[1.0, 2.0]])
    made[1] = mx.array([[3.0]])
    return made


def test_a_state_that_was_kept_for_the_whole_prompt_is_of_no_use_and_an_earlier_one_is() -> None:
    prefixes = PrefixCache(GIGABYTE)
    prefixes.insert(TOKENS[:8], [state()])
    assert prefixes.fetch(TOKENS[:8]) == (None, 0)
    prefixes.insert(TOKENS[:4], [state()])
    cache, length = prefixes.fetch(TOKENS[:8])
    assert cache is not None
    assert length == 4
    assert prefixes.fetch(TOKENS[:9])[1] == 8


def test_room_is_made_oldest_first_until_there_is_enough() -> None:
    prefixes = PrefixCache(GIGABYTE)
    for number in range(4):
        prefixes.insert(*entry(number))
    prefixes.make_room(batch_bytes=1 << 60)
    assert prefixes.nbytes == 4 * SIZE, "there is no total"
    prefixes.shrink(4 * SIZE)
    assert prefixes.nbytes == 4 * SIZE
    prefixes.shrink(4 * SIZE - 1)
    assert cached(prefixes, 0, 1, 2, 3) == [False, True, True, True]
    prefixes.shrink(-5)
    assert prefixes.nbytes == 0


BOUNDS: list[tuple[dict[str, Any], int]] = [
    ({}, 1000),
    ({"prefix_cache_bytes": 500}, 500),
    ({"prefix_cache_bytes": 0}, 0),
    ({"prefix_cache_bytes": -3}, 0),
    ({"prefix_cache_bytes": 500, "max_memory": 80_000}, 500),
    ({"max_memory": 25_000}, 3000),
    ({"max_memory": 900}, 0),
]


@pytest.mark.parametrize(("options", "bound"), BOUNDS, ids=str)
def test_without_a_bound_an_eighth_of_what_is_left_is_for_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], bound: int
) -> None:
    monkeypatch.setattr(module, "free_memory", lambda: 8000)
    monkeypatch.setattr(mx, "get_active_memory", lambda: 1000)
    spec = ModelSpec(name="a", path=str(tmp_path), **options)
    assert make_prefix_cache(spec, tmp_path, "float32", "cpu").max_bytes == bound


@pytest.mark.parametrize("options", [{}, {"max_memory": 1010 * SIZE}], ids=["free memory", "a bound"])
def test_prompts_leave_the_batch_what_the_model_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(module, "free_memory", lambda: 10 * SIZE)
    monkeypatch.setattr(mx, "get_active_memory", lambda: 1000 * SIZE)
    spec = ModelSpec(name="a", path=str(tmp_path), prefix_cache_bytes=100 * SIZE, **options)
    prefixes = make_prefix_cache(spec, tmp_path, "float32", "cpu")
    monkeypatch.setattr(mx, "get_active_memory", lambda: 1000 * SIZE + prefixes.nbytes)
    for number in range(4):
        prefixes.insert(*entry(number))
    prefixes.make_room(6 * SIZE)
    assert prefixes.nbytes == 4 * SIZE
    prefixes.make_room(6 * SIZE + 1)
    assert prefixes.nbytes == 3 * SIZE
    assert not prefixes.write_one(), "there is no folder"
    prefixes.make_room(100 * SIZE)
    assert prefixes.nbytes == 0


def test_the_files_of_a_model_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    model, kept = tmp_path / "model", tmp_path / "prompts"
    model.mkdir()
    spec = ModelSpec(name="a", path=str(model), prefix_cache_bytes=GIGABYTE, prefix_cache_dir=str(kept))
    prefixes = make_prefix_cache(spec, model, "float32", "cpu")
    prefixes.insert(*entry(0))
    assert prefixes.write_one()
    assert files(kept, model_identity(model, spec, "float32")).holds(prompt(0))

    narrow = ModelSpec(
        name="a",
        path=str(model),
        prefix_cache_bytes=GIGABYTE,
        prefix_cache_dir=str(tmp_path / "narrow"),
        prefix_cache_disk_bytes=9,
    )
    prefixes = make_prefix_cache(narrow, model, "float32", "cpu")
    prefixes.insert(*entry(0))
    assert prefixes.write_one()
    assert not list((tmp_path / "narrow").glob("*/*"))


class FailingOnce:
    """Files whose first search fails."""

    def __init__(self) -> None:
        self.failed = False

    def fetch(self, tokens: list[int], longer_than: int, salt: str) -> None:
        if not self.failed:
            self.failed = True
            raise RuntimeError("what a mess")


def test_a_search_that_fails_costs_what_was_kept_and_no_request(caplog: pytest.LogCaptureFixture) -> None:
    broken: Any = FailingOnce()
    prefixes = PrefixCache(4 * SIZE, files=broken)
    prefixes.insert(*entry(0))
    assert prefixes.fetch([*prompt(0), 5]) == (None, 0)
    assert "the prefix cache failed and is emptied" in caplog.text
    assert "what a mess" in caplog.text
    assert prefixes.nbytes == 0
    assert not prefixes.write_one()
    for number in range(4):
        prefixes.insert(*entry(number))
    assert cached(prefixes, 1, 2, 3) == [True] * 3


# ── beside the files ────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_evicted_is_written_and_found_again(tmp_path: Path) -> None:
    prefixes = PrefixCache(4 * SIZE, files=files(tmp_path))
    for number in range(4):
        prefixes.insert(*entry(number))
        assert prefixes.nbytes <= 4 * SIZE
    while prefixes.write_one():
        pass
    assert cached(prefixes, *range(4)) == [True] * 4
    assert prefixes.nbytes <= 4 * SIZE


@pytest.mark.parametrize("restart", [False, True], ids=["in memory", "after a restart"])
def test_prompts_are_found_by_those_of_the_same_salt(tmp_path: Path, restart: bool) -> None:
    prefixes = PrefixCache(GIGABYTE, files=files(tmp_path))
    for length, salt in ((BLOCK, ""), (2 * BLOCK, "one"), (3 * BLOCK, "other")):
        prefixes.insert(TOKENS[:length], [filled(length)], salt)
    while prefixes.write_one():
        pass
    if restart:
        prefixes = PrefixCache(GIGABYTE, files=files(tmp_path))
    assert len(files(tmp_path)) == 3
    found = {salt: prefixes.fetch(TOKENS, salt)[1] for salt in ("", "one", "other", "third")}
    assert found == {"": BLOCK, "one": 2 * BLOCK, "other": 3 * BLOCK, "third": 0}


def test_prompts_that_longer_ones_replace_are_forgotten_by_an_engine_that_is_never_idle(tmp_path: Path) -> None:
    prefixes = PrefixCache(GIGABYTE, files=files(tmp_path))
    prefixes.insert(*entry(0))
    for length in range(1, 400):
        prefixes.insert(TOKENS[:1] * length, [filled(length)])
    assert len(prefixes._unwritten) < 100
    while prefixes.write_one():
        pass
    assert len(files(tmp_path)) == 2


def test_the_latest_prompt_is_written_first_and_each_of_them_once(tmp_path: Path) -> None:
    kept = files(tmp_path)
    prefixes = PrefixCache(GIGABYTE, files=kept)
    for number in (0, 1, 2, 0):
        prefixes.insert(*entry(number))
    order = []
    while prefixes.write_one():
        order.append(written(kept, 0, 1, 2))
    assert order == [[0], [0, 2], [0, 1, 2]]


def test_a_prompt_that_a_longer_one_has_replaced_is_passed_over(tmp_path: Path) -> None:
    kept = files(tmp_path)
    prefixes = PrefixCache(GIGABYTE, files=kept)
    prefixes.insert(*entry(0))
    prefixes.insert(TOKENS[:9], [filled(9)])
    prefixes.insert(TOKENS[:12], [filled(12)])
    assert prefixes.write_one()
    assert (kept.holds(TOKENS[:12]), kept.holds(TOKENS[:9]), kept.holds(prompt(0))) == (True, False, False)
    assert prefixes.write_one()
    assert kept.holds(prompt(0))
    assert not prefixes.write_one()
    assert len(kept) == 2


def test_a_quarter_is_for_evicted_prompts_that_wait_to_be_written(tmp_path: Path) -> None:
    kept = files(tmp_path)
    prefixes = PrefixCache(4 * SIZE, files=kept)
    for number in range(3):
        prefixes.insert(*entry(number))
    while prefixes.write_one():
        pass
    sizes = []
    for number in range(3, 8):
        prefixes.insert(*entry(number))
        sizes.append(prefixes.nbytes // SIZE)
    # The first three have their files. The fourth is evicted without one, and the fifth takes its place.
    assert sizes == [3, 3, 3, 4, 4]
    order = []
    while prefixes.write_one():
        order.append(written(kept, *range(3, 8)))
    assert order == [[4], [4, 7], [4, 6, 7], [4, 5, 6, 7]]


def test_room_is_made_of_what_waits_to_be_written_too(tmp_path: Path) -> None:
    prefixes = PrefixCache(4 * SIZE, files=files(tmp_path))
    for number in range(4):
        prefixes.insert(*entry(number))
    assert prefixes.nbytes == 4 * SIZE
    prefixes.shrink(3 * SIZE)
    assert prefixes.nbytes == 3 * SIZE
    assert cached(prefixes, 1, 2, 3) == [True] * 3
    prefixes.shrink(2 * SIZE)
    assert prefixes.nbytes == 2 * SIZE
    assert cached(prefixes, 1, 2, 3) == [False, True, True]


@pytest.mark.parametrize(("in_memory", "found"), [(23, 40), (24, 24)])
def test_a_file_is_read_where_it_saves_more_than_sixteen_tokens(tmp_path: Path, in_memory: int, found: int) -> None:
    kept = files(tmp_path)
    kept.save(TOKENS[:40], [filled(40)])
    prefixes = PrefixCache(GIGABYTE, files=kept)
    prefixes.insert(TOKENS[:in_memory], [filled(in_memory)])
    assert prefixes.fetch(TOKENS)[1] == found


@pytest.mark.parametrize(("bound", "found"), [(2730, True), (2729, False)])
def test_a_file_is_read_where_memory_can_hold_it(tmp_path: Path, bound: int, found: bool) -> None:
    kept = files(tmp_path)
    kept.save(*entry(0))
    prefixes = PrefixCache(bound, files=kept)
    assert bound - bound // 4 == (SIZE if found else SIZE - 1)
    assert cached(prefixes, 0) == [found]


def test_what_was_read_goes_after_the_answers_of_this_engine(tmp_path: Path) -> None:
    kept = files(tmp_path)
    kept.save(*entry(0))
    prefixes = PrefixCache(4 * SIZE, files=kept)
    assert cached(prefixes, 0) == [True]
    for path in tmp_path.glob("*/*.safetensors"):
        path.unlink()
    for number in range(1, 4):
        prefixes.insert(*entry(number))
    assert cached(prefixes, 0, 1, 2, 3) == [True, False, True, True]
