"""Kept prompts on disk: they outlive eviction and the engine, and damaged files or files in the way do no harm."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache

from providers.engines.prefix.files import BLOCK, PrefixFiles

GIGABYTE = 1_000_000_000
TOKENS = list(range(1000, 1000 + 3 * BLOCK + 5))


def filled(cache: Any, tokens: int) -> Any:
    values = mx.arange(tokens, dtype=mx.float32).reshape(1, 1, tokens, 1)
    cache.update_and_fetch(values, values)
    return cache


def states() -> ArraysCache:
    cache = ArraysCache(2)  # type: ignore[no-untyped-call]
    cache[0] = mx.array([[1.0, 2.0]])  # type: ignore[no-untyped-call]
    cache[1] = mx.array([[3.0]], dtype=mx.float16)  # type: ignore[no-untyped-call]
    return cache


def files(folder: Path, model: str = "model", max_bytes: int = GIGABYTE) -> PrefixFiles:
    return PrefixFiles(folder, model, max_bytes)


def saved(folder: Path, tokens: list[int] = TOKENS, **options: Any) -> PrefixFiles:
    made = files(folder, **options)
    made.save(tokens, [filled(KVCache(), len(tokens))])  # type: ignore[no-untyped-call]
    return made


def paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"))


# ── what is found ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("restart", [False, True], ids=["at once", "after a restart"])
def test_a_prompt_that_goes_on_finds_its_beginning(tmp_path: Path, restart: bool) -> None:
    made = saved(tmp_path)
    found = (files(tmp_path) if restart else made).fetch([*TOKENS, 7, 8], 0)
    assert found is not None
    tokens, (cache,) = found
    assert (tokens, cache.offset) == (TOKENS, len(TOKENS))
    assert cache.keys.reshape(-1).tolist()[: len(TOKENS)] == list(range(len(TOKENS)))


def test_what_comes_before_a_picture_is_found(tmp_path: Path) -> None:
    saved(tmp_path)

    found = files(tmp_path).fetch([*TOKENS, -1, -2, 5], 0)

    assert found is not None
    assert found[0] == TOKENS


def test_a_prompt_that_branches_off_finds_what_it_has_in_common_where_that_can_be_cut(tmp_path: Path) -> None:
    made = saved(tmp_path)
    branch = [*TOKENS[: BLOCK + 3], 7, 8, 9]
    assert made.fetch(branch, 0) is not None
    assert files(tmp_path).fetch(branch, 0) is not None
    assert made.fetch(branch, BLOCK) is None
    assert made.fetch([*TOKENS[: BLOCK - 1], 7], 0) is None

    rotated = filled(RotatingKVCache(max_size=8), len(TOKENS))  # type: ignore[no-untyped-call]
    whole = files(tmp_path / "other")
    whole.save(TOKENS, [rotated])
    assert whole.fetch(branch, 0) is None
    assert files(tmp_path / "other").fetch(branch, 0) is None
    assert whole.fetch(TOKENS, 0) is None
    assert whole.fetch([*TOKENS, 7], 0) is not None


def test_every_kind_of_cache_comes_back_as_it_was(tmp_path: Path) -> None:
    layers = [
        filled(KVCache(), 8),  # type: ignore[no-untyped-call]
        filled(RotatingKVCache(max_size=4), 8),  # type: ignore[no-untyped-call]
        states(),
        CacheList(states(), filled(KVCache(), 8)),  # type: ignore[no-untyped-call]
    ]
    files(tmp_path).save(TOKENS[:8], layers)
    found = files(tmp_path).fetch(TOKENS[:9], 0)
    assert found is not None
    for before, after in zip(layers, found[1], strict=True):
        assert type(before) is type(after)
        assert str(before.state) == str(after.state)


def test_a_class_that_mlx_lm_does_not_know_is_not_written(tmp_path: Path) -> None:
    class Own(KVCache):  # type: ignore[misc]
        pass

    made = files(tmp_path)
    made.save(TOKENS, [filled(Own(), len(TOKENS))])  # type: ignore[no-untyped-call]
    assert len(made) == 0


def test_a_longer_prompt_takes_the_place_of_its_beginning(tmp_path: Path) -> None:
    made = saved(tmp_path, TOKENS[: 2 * BLOCK])
    made.save(TOKENS, [filled(KVCache(), len(TOKENS))])  # type: ignore[no-untyped-call]
    assert len(made) == len(paths(tmp_path)) == 1
    assert made.holds(TOKENS)


# ── what is in the way ──────────────────────────────────────────────────────────────────────────────────────────────


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 20)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def prose(path: Path) -> None:
    path.write_text("this is not a prompt " * 99)


@pytest.mark.parametrize("damage", [truncate, empty, flip, prose])
@pytest.mark.parametrize("restart", [False, True], ids=["at once", "after a restart"])
def test_a_damaged_file_is_deleted_with_a_warning(
    tmp_path: Path, damage: Callable[[Path], None], restart: bool, caplog: pytest.LogCaptureFixture
) -> None:
    made = saved(tmp_path)
    (path,) = paths(tmp_path)
    damage(path)
    with caplog.at_level(logging.WARNING):
        assert (files(tmp_path) if restart else made).fetch([*TOKENS, 7], 0) is None
    unreadable = restart and damage in (empty, prose)
    cause = "its header has no length" if unreadable else "its checksum does not match"
    assert caplog.messages == [f"a kept prompt cannot be read and is deleted: {path}: {cause}"]
    assert paths(tmp_path) == []


@pytest.mark.parametrize(
    ("tokens", "cause"), [("", "it has no tokens"), ("AQAA?AA==", "Only base64 data is allowed")], ids=["none", "junk"]
)
def test_a_file_whose_tokens_cannot_be_read_is_deleted(
    tmp_path: Path, tokens: str, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    header = json.dumps({"__metadata__": {"0.tokens": tokens, "0.trimmable": "1"}}).encode()
    path = tmp_path / "model" / f"{'0' * 32}-{'0' * 8}.safetensors"
    path.parent.mkdir()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert len(files(tmp_path)) == 0
    assert caplog.messages == [f"a kept prompt cannot be read and is deleted: {path}: {cause}"]
    assert not path.exists()


def test_a_file_that_another_server_deleted_is_no_matter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = saved(tmp_path)
    paths(tmp_path)[0].unlink()
    assert made.fetch([*TOKENS, 7], 0) is None
    assert not caplog.records
    made.save(TOKENS, [filled(KVCache(), len(TOKENS))])  # type: ignore[no-untyped-call]
    assert made.fetch([*TOKENS, 7], 0) is not None


def test_two_servers_may_write_the_same(tmp_path: Path) -> None:
    one, other = files(tmp_path), files(tmp_path)
    for made in (one, other):
        made.save(TOKENS, [filled(KVCache(), len(TOKENS))])  # type: ignore[no-untyped-call]
    assert len(paths(tmp_path)) == 1
    assert one.fetch([*TOKENS, 7], 0) is not None
    assert other.fetch([*TOKENS, 7], 0) is not None


def test_the_oldest_go_first_of_all_models_together(tmp_path: Path) -> None:
    saved(tmp_path, [1, *TOKENS], model="one")
    (old,) = paths(tmp_path)
    os.utime(old, (1, 1))
    bound = int(old.stat().st_size * 2.5)
    saved(tmp_path, [2, *TOKENS], model="one", max_bytes=bound)
    assert old.exists()
    saved(tmp_path, [3, *TOKENS], model="other", max_bytes=bound)
    assert not old.exists()
    assert len(paths(tmp_path)) == 2


def test_files_may_have_as_many_bytes_as_they_are_allowed(tmp_path: Path) -> None:
    for number in (1, 2):
        saved(tmp_path, [number, *TOKENS])
    size = sum(path.stat().st_size for path in paths(tmp_path))
    assert len(files(tmp_path, max_bytes=size)) == 2
    assert len(files(tmp_path, max_bytes=size - 1)) == len(paths(tmp_path)) == 1


def test_a_link_to_nowhere_does_not_keep_the_oldest(tmp_path: Path) -> None:
    saved(tmp_path, model="one")
    (path,) = paths(tmp_path)
    (path.parent / f"{'0' * 32}-{'0' * 8}.safetensors").symlink_to("nowhere")
    files(tmp_path, model="other", max_bytes=1)
    assert not path.exists()


def test_what_is_used_counts_as_new(tmp_path: Path) -> None:
    made = saved(tmp_path)
    (path,) = paths(tmp_path)
    os.utime(path, (1, 1))
    made.fetch([*TOKENS, 7], 0)
    assert path.stat().st_mtime > 1


def test_a_folder_that_cannot_be_written_to_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "model").write_text("a file, where a folder should be")
    made = saved(tmp_path)
    (message,) = caplog.messages
    warning = f"kept prompts cannot be written to {tmp_path / 'model'}; no more will be written: "
    assert message.startswith(warning)
    assert "model" in message.removeprefix(warning), "the cause"
    caplog.clear()
    made.save(TOKENS[:9], [filled(KVCache(), 9)])  # type: ignore[no-untyped-call]
    assert not caplog.records, "once is enough"


def test_what_a_killed_process_left_is_deleted_once_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    old, new = (tmp_path / "model" / f"tmp-{digit * 32}.safetensors" for digit in "01")
    for path, changed in ((old, 999), (new, 1000)):
        path.write_bytes(b"half a file")
        os.utime(path, (changed, changed))
    monkeypatch.setattr(time, "time", lambda: 1000.0 + 3600.0)
    files(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_files_of_other_people_are_never_deleted(tmp_path: Path) -> None:
    theirs = [tmp_path / folder / "model-00001-of-00002.safetensors" for folder in ("model", "llama")]
    theirs.append(tmp_path / "llama" / f"{'0' * 32}-{'0' * 8}.safetensors")
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"weights that took a day to download")
        os.utime(path, (1, 1))
    (tmp_path / "llama" / "CACHEDIR.TAG").mkdir()

    made = saved(tmp_path, max_bytes=6000)
    made.save([7, *TOKENS], [filled(KVCache(), len(TOKENS) + 1)])  # type: ignore[no-untyped-call]
    files(tmp_path, max_bytes=1)

    assert all(path.exists() for path in theirs)
    assert paths(tmp_path) == sorted(theirs), "its own are over the bound"


def test_prompts_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        saved(tmp_path / "caches" / "prompts")
    finally:
        os.umask(before)
    (path,) = paths(tmp_path / "caches" / "prompts")
    for each in (path, *path.parents[:3]):
        assert each.stat().st_mode & 0o077 == 0, each
