"""Kept prompts on disk: they outlive eviction and the engine, and damaged files or files in the way do no harm."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache

from providers.chat.types import SamplingParams
from providers.engines.prefix.cache import PrefixCache
from providers.engines.prefix.files import BLOCK, PrefixFiles
from providers.engines.prefix.fingerprint import model_identity
from providers.spec import ModelSpec
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import Answer, EngineClient, chat
from tests.unit.providers.engines.inprocess import SteppedEngine

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
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


def test_a_prompt_that_branches_off_finds_what_it_has_in_common_where_that_can_be_cut(tmp_path: Path) -> None:
    made = saved(tmp_path)
    branch = [*TOKENS[: BLOCK + 3], 7, 8, 9]
    assert made.fetch(branch, 0) is not None
    assert made.fetch(branch, BLOCK) is None
    assert made.fetch([*TOKENS[: BLOCK - 1], 7], 0) is None

    rotated = filled(RotatingKVCache(max_size=8), len(TOKENS))  # type: ignore[no-untyped-call]
    whole = files(tmp_path / "other")
    whole.save(TOKENS, [rotated])
    assert whole.fetch(branch, 0) is None
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
    damage(*paths(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert (files(tmp_path) if restart else made).fetch([*TOKENS, 7], 0) is None
    assert re.search(r"cannot be read and is deleted: \S+: (?!None)\w+", caplog.text)
    assert paths(tmp_path) == []


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


def test_what_is_used_counts_as_new(tmp_path: Path) -> None:
    made = saved(tmp_path)
    (path,) = paths(tmp_path)
    os.utime(path, (1, 1))
    made.fetch([*TOKENS, 7], 0)
    assert path.stat().st_mtime > 1


def test_a_folder_that_cannot_be_written_to_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "model").write_text("a file, where a folder should be")
    made = saved(tmp_path)
    assert "cannot be written" in caplog.text
    caplog.clear()
    made.save(TOKENS[:9], [filled(KVCache(), 9)])  # type: ignore[no-untyped-call]
    assert not caplog.records, "once is enough"


def test_what_a_killed_process_left_is_deleted_once_it_is_old(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    old, new = (tmp_path / "model" / f"tmp-{digit * 32}.safetensors" for digit in "01")
    for path in (old, new):
        path.write_bytes(b"half a file")
    os.utime(old, (1, 1))
    files(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_files_of_other_people_are_never_deleted(tmp_path: Path) -> None:
    theirs = [tmp_path / folder / "model-00001-of-00002.safetensors" for folder in ("model", "llama")]
    theirs.append(tmp_path / "llama" / f"{'0' * 32}-{'0' * 8}.safetensors")
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"weights that took a day to download")
        os.utime(path, (1, 1))

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


# ── beside the prompts in memory ────────────────────────────────────────────────────────────────────────────────────


def entry(number: int) -> tuple[list[int], list[Any]]:
    tokens = [number, *TOKENS]
    return tokens, [filled(KVCache(), len(tokens))]  # type: ignore[no-untyped-call]


def test_what_is_evicted_is_written_and_found_again(tmp_path: Path) -> None:
    size = entry(0)[1][0].nbytes
    prefixes = PrefixCache(4 * size, files=files(tmp_path))
    for number in range(4):
        prefixes.insert(*entry(number))
        assert prefixes.nbytes <= 4 * size
    while prefixes.write_one():
        pass
    prompts = [[number, *TOKENS, 5] for number in range(4)]
    assert [prefixes.fetch(prompt)[1] for prompt in prompts] == [len(TOKENS) + 1] * 4
    assert prefixes.nbytes <= 4 * size


@pytest.mark.parametrize("restart", [False, True], ids=["in memory", "after a restart"])
def test_prompts_are_found_by_those_of_the_same_salt(tmp_path: Path, restart: bool) -> None:
    prefixes = PrefixCache(GIGABYTE, files=files(tmp_path))
    for length, salt in ((BLOCK, ""), (2 * BLOCK, "one"), (3 * BLOCK, "other")):
        prefixes.insert(TOKENS[:length], [filled(KVCache(), length)], salt)  # type: ignore[no-untyped-call]
    while prefixes.write_one():
        pass
    if restart:
        prefixes = PrefixCache(GIGABYTE, files=files(tmp_path))
    assert len(paths(tmp_path)) == 3
    found = {salt: prefixes.fetch(TOKENS, salt)[1] for salt in ("", "one", "other", "third")}
    assert found == {"": BLOCK, "one": 2 * BLOCK, "other": 3 * BLOCK, "third": 0}


def test_prompts_that_longer_ones_replace_are_forgotten_by_an_engine_that_is_never_idle(tmp_path: Path) -> None:
    prefixes = PrefixCache(GIGABYTE, files=files(tmp_path))
    for length in range(1, 400):
        prefixes.insert(TOKENS[:1] * length, [filled(KVCache(), length)])  # type: ignore[no-untyped-call]
    assert len(prefixes._unwritten) < 100
    while prefixes.write_one():
        pass
    assert len(paths(tmp_path)) == 1


def test_memory_that_the_batch_needs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    size = entry(0)[1][0].nbytes
    prefixes = PrefixCache(100 * size, total=1010 * size)
    # 1000 of the 1010 sizes stand for everything else in this process, whose real memory changes meanwhile.
    monkeypatch.setattr(mx, "get_active_memory", lambda: 1000 * size + prefixes.nbytes)
    for number in range(4):
        prefixes.insert(*entry(number))
    prefixes.make_room(batch_bytes=0)
    assert prefixes.nbytes == 4 * size
    prefixes.make_room(batch_bytes=9 * size)
    assert prefixes.nbytes <= size
    prefixes.make_room(batch_bytes=100 * size)
    assert prefixes.nbytes == 0


# ── what a file belongs to ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_identity_changes_with_whatever_the_numbers_depend_on(tmp_path: Path) -> None:
    folder = tiny.write_folder(tmp_path / "model")
    spec = ModelSpec(name="a", path=str(folder))
    before = model_identity(folder, spec, "float32")
    assert model_identity(folder, attrs.evolve(spec, name="b", max_concurrency=1), "float32") == before
    defaults = attrs.evolve(spec, sampling=SamplingParams(seed=1), max_tokens=9, chat_template="{{ messages }}")
    assert model_identity(folder, defaults, "float32") == before
    assert model_identity(folder, spec, "bfloat16") != before
    assert model_identity(folder, attrs.evolve(spec, quantize=4), "float32") != before

    for name, change in (
        ("chat_template.jinja", lambda path: path.write_text("{{ messages }}")),
        ("tokenizer.json", lambda path: path.write_text(path.read_text() + " ")),
        ("model.safetensors", lambda path: os.utime(path, (1, 1))),
    ):
        last = model_identity(folder, spec, "float32")
        change(folder / name)
        assert model_identity(folder, spec, "float32") != last, name


def test_the_identity_changes_with_the_files_of_an_adapter(tmp_path: Path) -> None:
    folder, adapter = tiny.write_folder(tmp_path / "model"), tmp_path / "adapter"
    adapter.mkdir()
    spec = ModelSpec(name="a", path=str(folder), lora_paths=(str(adapter),))
    before = model_identity(folder, spec, "float32")
    assert re.fullmatch("[0-9a-f]{40}", before)
    (adapter / "adapter_config.json").write_text("{}")
    assert model_identity(folder, spec, "float32") != before


# ── in an engine ────────────────────────────────────────────────────────────────────────────────────────────────────

FAMILIES: list[Callable[..., Path]] = [tiny.write_folder, tiny.write_sliding_folder, tiny.write_hybrid_folder]
QUESTION = ("user", "what does the sea say to the land, all day and all night long, year after year?")


def cached(answer: Answer) -> int:
    assert answer.accepted is not None
    return answer.accepted.cached_tokens


@pytest.mark.parametrize("write", FAMILIES)
def test_a_conversation_goes_on_after_a_restart(tmp_path: Path, write: Callable[..., Path]) -> None:
    folder = write(tmp_path / "model", max_position_embeddings=2048)

    def engine(**spec: Any) -> SteppedEngine:
        return SteppedEngine(folder, warmup=False, prefix_cache_dir=str(tmp_path / "prompts"), **spec)

    before = engine()
    first = before.ask("first", chat(QUESTION), sampling=NO_END, max_tokens=6)
    while before.engine.use_idle_time():
        pass
    talk = chat(QUESTION, ("assistant", first.text), ("user", "and then?"))
    after = engine()
    second = after.ask("second", talk, sampling=NO_END, max_tokens=6)
    assert first.accepted is not None
    assert cached(second) >= first.accepted.prompt_tokens - BLOCK
    nothing = SteppedEngine(folder, warmup=False, prefix_cache_bytes=0)
    assert second.text == nothing.ask("same", talk, sampling=NO_END, max_tokens=6).text


def test_an_engine_that_ends_on_request_writes_its_prefix_cache(
    tiny_folder: Path, tmp_path: Path, start: Callable[..., EngineClient]
) -> None:
    prompt = "a prompt that somebody will come back to, and it is a rather long one, so that it is worth it"
    for expected in (False, True):
        client = start()
        client.load(str(tiny_folder), prefix_cache_dir=str(tmp_path), warmup=False)
        answer = client.ask("again", prompt, sampling=NO_END, max_tokens=3)
        assert (cached(answer) > 0) is expected
        assert "Traceback" not in client.close()
        assert client.process.returncode == 0
