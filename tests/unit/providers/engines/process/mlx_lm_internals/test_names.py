"""mlx-lm still has every private name that `mlx_lm_internals` uses, in the form that it expects."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.generate import BatchGenerator, GenerationBatch
from mlx_lm.models import activations, base
from mlx_lm.models.cache import BatchKVCache, KVCache, LRUPromptCache, PromptTrie, TokenBuffer
from mlx_lm.utils import load_model

from providers.engines.process.mlx_lm_internals.generator import Generator
from providers.engines.process.mlx_lm_internals.layers import append_token, tokens_of_one
from providers.engines.process.mlx_lm_internals.prompt_trie import TRIE_VALUE
from tests.unit.providers.engines import tiny

GENERATOR = (
    *("_generation_batch", "_prompt_batch", "_currently_processing", "_unprocessed_sequences", "sampler"),
    "_old_wired_limit",
)
BATCH = ("_current_tokens", "_next_tokens", "_next_logprobs", "_num_tokens", "_token_context", "fallback_sampler")


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A plain one of mlx-lm's, with a prompt that waits."""
    folder: Path = tiny.write_folder(tmp_path_factory.mktemp("model"))
    made: Any = BatchGenerator(load_model(folder)[0], prefill_step_size=4)
    made.insert_segments([[[1, 2, 3, 4, 5, 6], [7, 8, 9]]], [2])
    return made


@pytest.mark.parametrize("name", GENERATOR)
def test_a_generator_has(generator: Any, name: str) -> None:
    assert hasattr(generator, name), f"mlx-lm's BatchGenerator has no {name} any more: see mlx_lm_internals"


@pytest.mark.parametrize("name", BATCH)
def test_a_batch_that_decodes_has(generator: Any, name: str) -> None:
    message = f"mlx-lm's GenerationBatch has no {name} any more: see mlx_lm_internals"
    assert hasattr(generator._generation_batch, name), message


def test_prompts_that_wait_begin_with_their_uid_and_their_segments(generator: Any) -> None:
    uid, segments, *_ = generator._unprocessed_sequences[0]
    assert (uid, segments) == (0, [[1, 2, 3, 4, 5, 6], [7, 8], [9]])


def test_prompts_in_prefill_have_their_segments_and_the_tokens_done(generator: Any) -> None:
    generator.next()
    segments, done, total = generator._currently_processing[0]
    assert (segments, done, total) == ([[5, 6], [7, 8], [9]], 4, 9)
    assert generator._prompt_batch.uids == [0]


def test_every_step_of_a_batch_is_one_call_of_a_method_that_can_be_replaced() -> None:
    assert list(inspect.signature(GenerationBatch._step).parameters) == ["self"]
    assert "self._step()" in inspect.getsource(GenerationBatch.next)


def test_a_response_has_the_fields_that_speculation_fills() -> None:
    fields = list(inspect.signature(GenerationBatch.Response).parameters)
    assert fields == ["uid", "token", "logprobs", "finish_reason", "prompt_cache", "all_tokens"]


def test_a_batch_of_keys_ends_at_one_place_and_is_padded_before_its_shorter_sequences() -> None:
    cache: Any = BatchKVCache([2, 0])
    cache.update_and_fetch(mx.zeros((2, 1, 5, 4)), mx.zeros((2, 1, 5, 4)))
    assert (cache._idx, cache.left_padding.tolist(), cache.offset.tolist()) == (5, [2, 0], [3, 5])


def test_a_token_buffer_is_made_of_tokens_and_gives_them_back() -> None:
    buffer: Any = TokenBuffer([3, 4])
    assert buffer.tokens.tolist() == [3, 4]
    assert buffer.state is not None


def test_a_cache_of_prompts_keeps_its_entries_in_a_trie_whose_nodes_are_dicts() -> None:
    cache: Any = LRUPromptCache()
    assert isinstance(cache._trie, PromptTrie)
    cache._trie.add("model", [1, 2], "value")
    assert cache._trie._trie == {"model": {1: {2: {TRIE_VALUE: "value"}}}}


@pytest.mark.parametrize("function", [base.scaled_dot_product_attention, activations.swiglu])
def test_models_import_the_functions_that_are_replaced_by_name(function: Callable[..., Any]) -> None:
    name = "swiglu" if function is activations.swiglu else "scaled_dot_product_attention"
    # A copy of its own: models that other tests loaded have replaced the functions in the shared one.
    spec: Any = importlib.util.find_spec("mlx_lm.models.llama")
    llama = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(llama)
    assert getattr(llama, name, None) is function, f"mlx-lm's llama has no {name} any more: see mlx_lm_internals"


def test_the_wired_limit_is_set_back_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [7]

    def set_limit(limit: int) -> int:
        limits.append(limit)
        return limits[-2]

    monkeypatch.setattr(mx, "set_wired_limit", set_limit)
    monkeypatch.setattr(mx, "device_info", lambda: {"max_recommended_working_set_size": 99})
    made = Generator(load_model(tiny.write_folder(tmp_path))[0])
    assert limits == [7, 99]
    made.restore_wired_limit()
    made.close()
    assert limits == [7, 99, 7]


def test_a_batch_of_keys_has_what_a_decode_step_appends_to() -> None:
    cache: Any = BatchKVCache([0, 2])  # type: ignore[no-untyped-call]
    token = mx.ones((2, 1, 1, 4))
    cache.update_and_fetch(token, token)
    keys, values = append_token(cache, 2 * token, 3 * token, cache.offset + 1)
    assert (keys[0, 0, :, 0].tolist(), values[1, 0, :, 0].tolist()) == ([1, 2], [1, 3])
    assert (cache.size(), cache.offset.tolist()) == (2, [2, 0])


def test_a_batch_of_keys_without_room_grows() -> None:
    cache: Any = BatchKVCache([0])  # type: ignore[no-untyped-call]
    token = mx.ones((1, 1, 1, 4))
    for _ in range(cache.step + 1):
        keys, _ = append_token(cache, token, token, cache.offset + 1)
    assert keys.shape[2] == cache.size() == cache.step + 1
    assert cache.offset.tolist() == [cache.step + 1]


def test_a_cache_of_one_sequence_holds_its_tokens_after_the_padding() -> None:
    keys = [mx.zeros((1, 2, length, 4)) for length in (7, 3)]
    caches: list[Any] = [KVCache(), KVCache()]
    for cache, array in zip(caches, keys, strict=True):
        cache.update_and_fetch(array, array)
    batch: Any = BatchKVCache.merge(caches)

    assert tokens_of_one(caches[1]) == range(3)
    assert tokens_of_one(batch) is None
    batch.left_padding, batch.offset = batch.left_padding[1:], batch.offset[1:]
    assert tokens_of_one(batch) == range(4, 7)
    batch.prepare(right_padding=[2])
    assert tokens_of_one(batch) is None
    assert tokens_of_one(None) is None
