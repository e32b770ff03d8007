"""Prompts that do not fit into memory are refused before they are computed; kept prompts give way to new ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache, ChunkedKVCache, KVCache, RotatingKVCache, make_prompt_cache

from providers.chat.types import GenerationRequest, SamplingParams, TokenPrompt
from providers.engine_host.frames import Generate
from providers.engines.language import prompt_memory
from providers.engines.language.kv_caches import QuantizedCache
from providers.engines.language.prompt_memory import CacheSize, PromptMemory, cache_size
from providers.errors import OutOfMemory, PromptDoesNotFit
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.inprocess import SteppedEngine

TOKEN = 1000
"""Bytes per token in the tests of the arithmetic."""
NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})


class Model:
    """Two heads of width 8 in float32: 64 bytes per token for the keys of a layer, and as many for the values."""

    def __init__(self, *layers: Any) -> None:
        self.made = layers

    def make_cache(self) -> Sequence[Any]:
        return self.made

    def __call__(self, tokens: mx.array, cache: Sequence[Any]) -> None:
        for layer in cache:
            if isinstance(layer, ArraysCache):
                layer[0] = mx.zeros((1, 3, 5))
            else:
                width = 64 if isinstance(layer, QuantizedCache) else 8
                layer.update_and_fetch(mx.zeros((1, 2, 1, width)), mx.zeros((1, 2, 1, width)))


def test_the_caches_of_a_model_are_measured() -> None:
    assert cache_size(Model(KVCache(), KVCache())) == CacheSize({None: 256})
    window = cache_size(Model(KVCache(), RotatingKVCache(max_size=1024)))
    assert window == CacheSize({None: 128, 1024: 128})
    assert cache_size(Model(ChunkedKVCache(chunk_size=512))) == CacheSize({512: 128})
    assert cache_size(Model(ArraysCache(1), KVCache())) == CacheSize({None: 128}, fixed=60)
    # 64 values at 8 bits, with a scale and a bias of 4 bytes, by two heads, as keys and as values.
    assert cache_size(Model(QuantizedCache(64, 8))) == CacheSize({None: 2 * 2 * (64 + 8)})


def test_a_window_bounds_what_its_layers_take() -> None:
    size = CacheSize({None: 10, 1024: 100}, fixed=7)
    assert size.of_tokens(0) == 7
    assert size.of_tokens(1) == size.of_tokens(256) == 7 + 256 * 110
    assert size.of_tokens(2000) == 7 + 2048 * 10 + 1024 * 100


def test_a_batch_is_padded_to_its_longest_sequence() -> None:
    assert CacheSize({None: 10}).of_batch([1, 1000, 300]) == 3 * 1024 * 10
    assert CacheSize({None: 10}).of_batch([]) == 0


class Prefixes:
    """A prefix cache of a size in bytes."""

    def __init__(self, nbytes: int = 0) -> None:
        self.nbytes = nbytes

    def shrink(self, room: int) -> None:
        self.nbytes = min(self.nbytes, max(0, room))

    def make_room(self, batch_bytes: int) -> None:
        pass


def memory(prefixes: Prefixes, *, room: int, free: int = 1 << 40) -> PromptMemory:
    """`room`: tokens that fit beside the weights. The kept prompts are not among MLX's active memory here."""
    limit = mx.get_active_memory() + room * TOKEN - prefixes.nbytes
    kept: Any = prefixes
    return PromptMemory(CacheSize({None: TOKEN}), kept, limit, free=lambda: free - mx.get_cache_memory())


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLX's memory does not change: a garbage collection frees arrays that earlier tests left."""
    monkeypatch.setattr(mx, "get_active_memory", lambda: 7_000_000)
    monkeypatch.setattr(mx, "get_cache_memory", lambda: 3_000_000)


@pytest.mark.usefixtures("still")
def test_a_prompt_that_never_fits_is_refused_with_the_numbers() -> None:
    checked = memory(Prefixes(), room=1024)
    checked.refuse_impossible(1024)
    with pytest.raises(PromptDoesNotFit, match=r"1025 tokens take 1\.3 MB.* leave 1\.0 MB") as refused:
        checked.refuse_impossible(1025)
    assert refused.value.retry_after is None


@pytest.mark.usefixtures("still")
def test_a_prompt_that_others_leave_no_room_is_refused_for_now() -> None:
    checked = memory(Prefixes(), room=1024)
    checked.make_room(512, [], 0)
    # The other's prompt is not computed yet, so that its memory is not in use yet.
    checked.make_room(512, [512], 0)
    with pytest.raises(OutOfMemory, match="answers in work: 2") as refused:
        checked.make_room(512, [512, 10], 0)
    assert refused.value.retry_after


@pytest.mark.usefixtures("still")
def test_what_the_batch_holds_already_is_not_counted_twice() -> None:
    checked = memory(Prefixes(), room=512)
    checked.make_room(512, [512], 512 * TOKEN)


@pytest.mark.usefixtures("still")
def test_memory_that_the_system_lacks_counts() -> None:
    checked = memory(Prefixes(), room=1 << 20, free=512 * TOKEN)
    checked.make_room(512, [], 0)
    with pytest.raises(OutOfMemory):
        checked.make_room(513, [], 0)


@pytest.mark.usefixtures("still")
def test_what_is_free_is_read_once_for_prompts_that_start_together() -> None:
    readings = iter([512 * TOKEN, 0, 1024 * TOKEN])
    checked = PromptMemory(
        CacheSize({None: TOKEN}), Prefixes(), 1 << 40, free=lambda: next(readings) - mx.get_cache_memory()
    )
    with checked.read_once():
        checked.make_room(512, [], 0)
        checked.make_room(512, [], 0)
    with pytest.raises(OutOfMemory), checked.read_once():
        checked.make_room(512, [], 0)
    checked.make_room(1024, [], 0)


@pytest.mark.usefixtures("still")
def test_kept_prompts_give_way() -> None:
    kept = Prefixes(600 * TOKEN)
    memory(kept, room=1024).make_room(512, [], 0)
    assert kept.nbytes == 512 * TOKEN
    memory(kept, room=1024).make_room(1024, [], 0)
    assert kept.nbytes == 0


# ── the engine ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def long_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("long"), max_position_embeddings=8192)


def room_for(engine: SteppedEngine, tokens: int) -> None:
    """Limit the engine to a number of tokens beside what it holds now."""
    size = cache_size(engine.engine._model)
    limit = mx.get_active_memory() + size.of_tokens(tokens) + 1000
    engine.engine._memory = PromptMemory(size, engine.engine._prefixes, limit)


def test_the_size_is_that_of_the_engines_own_caches(long_folder: Path) -> None:
    model = SteppedEngine(long_folder).engine._model
    layers = make_prompt_cache(model)
    model(mx.zeros((1, 700), dtype=mx.uint32), cache=layers)
    assert cache_size(model).of_tokens(700) == sum(layer.nbytes for layer in layers)


def test_an_engine_refuses_only_what_does_not_fit(long_folder: Path) -> None:
    engine = SteppedEngine(long_folder, prefix_cache_bytes=0)
    room_for(engine, 1024)
    long = Generate(request=GenerationRequest(id="long", prompt=TokenPrompt([5] * 1100), max_tokens=1))
    for may_wait in (True, False):
        with pytest.raises(PromptDoesNotFit):
            engine.engine.prepare(long, may_wait=may_wait)
    first = engine.submit("first", TokenPrompt([5] * 600), sampling=NO_END, max_tokens=20)
    second = engine.submit("second", TokenPrompt([6] * 600), sampling=NO_END, max_tokens=20)
    engine.run()
    assert first.finished is not None
    assert second.failed is not None
    assert second.failed.code == "out_of_memory"
    later = engine.ask("later", TokenPrompt([6] * 600), sampling=NO_END, max_tokens=2)
    assert later.finished is not None


def test_a_prompt_to_keep_is_checked_too(long_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SteppedEngine(long_folder)
    monkeypatch.setattr(prompt_memory, "free_memory", lambda: 0)
    engine.engine._memory = PromptMemory(CacheSize({None: 1 << 20}), engine.engine._prefixes, 1 << 50, free=lambda: 0)
    answer = engine.ask("kept", TokenPrompt([5] * 600), max_tokens=1, prefill_only=True)
    assert answer.failed is not None
    assert answer.failed.code == "out_of_memory"


def test_a_limit_of_the_spec_is_the_bound(long_folder: Path) -> None:
    limit = mx.get_active_memory() + (2 << 20)
    engine = SteppedEngine(long_folder, max_memory=limit, dtype="float32")
    with pytest.raises(PromptDoesNotFit, match=r"may use [\d,.]+ MB"):
        engine.submit("long", TokenPrompt([5] * 8000), max_tokens=1)
