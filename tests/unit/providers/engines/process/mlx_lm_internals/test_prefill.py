"""A prompt's last tokens and the first token of its answer take one pass, with the results of mlx-lm's two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.generate import BatchGenerator
from mlx_lm.models.cache import BatchKVCache, KVCache, RotatingKVCache, make_prompt_cache
from mlx_lm.utils import load_model

from providers.engines.process.mlx_lm_internals.prefill import (
    OnePassGenerator,
    PromptBatch,
    gives_last_logits,
    last_logits,
    merge_layers,
)
from tests.unit.providers.engines import tiny

PROMPTS = [[5, 6, 7, 8, 9, 10, 11, 12, 13], [5, 6, 7], [9, 8], [4]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_model(tiny.write_folder(tmp_path_factory.mktemp("model")))[0]


class Watched:
    """A model that notes the shape of the tokens of each pass."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shapes: list[tuple[int, ...]] = []
        plain = type(model).__call__

        def call(this: Any, tokens: mx.array, *args: Any, **options: Any) -> Any:
            self.shapes.append(tokens.shape)
            return plain(this, tokens, *args, **options)

        monkeypatch.setattr(type(model), "__call__", call)


def answers(kind: Callable[..., Any], model: Any, prompts: list[list[int]], **options: Any) -> list[list[int]]:
    """Four greedy tokens after each prompt, in a generator of this kind."""
    generator = kind(model, **options)
    uids = generator.insert(prompts, max_tokens=[4] * len(prompts))
    if isinstance(generator, OnePassGenerator):
        for uid in uids:
            generator.in_one_pass(uid)
    texts: dict[int, list[int]] = {uid: [] for uid in uids}
    while True:
        prompted, generated = generator.next()
        for response in generated:
            texts[response.uid].append(response.token)
        if not prompted and not generated:
            return [texts[uid] for uid in uids]


def test_the_replaced_methods_are_mlx_lms() -> None:
    for name in ("_next", "_make_batch"):
        assert callable(getattr(BatchGenerator, name, None)), f"mlx-lm's BatchGenerator has no {name} any more"
    cache: Any = BatchKVCache([0])  # type: ignore[no-untyped-call]
    assert cache.state[-1] == cache._idx == 0


@pytest.mark.parametrize("step", [2, 3, 64])
def test_answers_are_those_of_two_passes(model: Any, step: int) -> None:
    expected = answers(BatchGenerator, model, PROMPTS, prefill_step_size=64)
    assert len({tuple(text) for text in expected}) > 1
    assert answers(OnePassGenerator, model, PROMPTS, prefill_step_size=step) == expected
    assert [answers(OnePassGenerator, model, [prompt])[0] for prompt in PROMPTS] == expected


def test_a_prompt_takes_one_pass_before_the_answers_own(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(model, monkeypatch)
    answers(OnePassGenerator, model, PROMPTS[:1])
    assert watched.shapes[:2] == [(1, 9), (1, 1)]


def test_prompts_that_end_together_take_one_pass(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(model, monkeypatch)
    answers(OnePassGenerator, model, PROMPTS)
    assert watched.shapes[:2] == [(4, 9), (4, 1)]


def test_other_prompts_take_the_two_passes_of_mlx_lm(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(model, monkeypatch)
    generator: Any = OnePassGenerator(model)
    generator.insert(PROMPTS[:1], max_tokens=[1])
    while any(generator.next()):
        pass
    assert watched.shapes[:2] == [(1, 8), (1, 1)]


@pytest.mark.parametrize("family", [tiny.write_folder, tiny.write_sliding_folder, tiny.write_hybrid_folder])
def test_last_logits_are_those_of_all_positions(family: Callable[..., Path], tmp_path: Path) -> None:
    model: Any = load_model(family(tmp_path))[0]
    assert gives_last_logits(model)
    tokens = mx.array([[5, 6, 7, 8], [9, 8, 0, 0]])
    whole = model(tokens, cache=[type(c).merge([c, c]) for c in make_prompt_cache(model)])
    last = last_logits(model, tokens, [type(c).merge([c, c]) for c in make_prompt_cache(model)], [4, 2])
    expected = np.stack([np.array(whole[0, 3:]), np.array(whole[1, 1:2])])
    np.testing.assert_allclose(np.array(last), expected, atol=1e-5)


def test_the_head_gets_the_last_states_only(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    embedding = type(model.model.embed_tokens)
    plain = embedding.as_linear

    def as_linear(this: Any, states: mx.array) -> mx.array:
        shapes.append(states.shape[:2])
        return plain(this, states)  # type: ignore[no-any-return]

    monkeypatch.setattr(embedding, "as_linear", as_linear)
    layers = model["model"]
    last_logits(model, mx.array([[5, 6, 7]]), make_prompt_cache(model), [3])
    assert shapes == [(1, 1)]
    assert model["model"] is layers


def test_a_model_of_another_form_computes_all_logits_and_the_last_are_taken() -> None:
    def model(tokens: mx.array, cache: Any) -> mx.array:
        return tokens[..., None] * mx.ones((1, 1, 2))

    assert not gives_last_logits(model)
    logits = last_logits(model, mx.array([[5, 6, 7], [8, 9, 0]]), [], [3, 2])
    assert logits.tolist() == [[[7, 7]], [[9, 9]]]


def filled(tokens: int) -> Any:
    layer: Any = KVCache()  # type: ignore[no-untyped-call]
    if tokens:
        values = mx.arange(2 * tokens * 3, dtype=mx.float32).reshape(1, 2, tokens, 3)
        layer.update_and_fetch(values, values + 1000)
    return layer


@pytest.mark.parametrize("lengths", [(7,), (7, 4), (4, 0, 7)])
def test_merged_caches_are_mlx_lms_with_room(lengths: tuple[int, ...]) -> None:
    rows = [filled(length) for length in lengths]
    (merged,) = merge_layers([[row] for row in rows], room=300)
    expected = KVCache.merge(rows)  # type: ignore[no-untyped-call]
    for mine, its in zip(merged.keys_and_values(), expected.keys_and_values(), strict=True):
        assert mine.tolist() == its.tolist()
    assert (merged.offset.tolist(), merged.left_padding.tolist()) == (
        expected.offset.tolist(),
        expected.left_padding.tolist(),
    )
    held = merged.keys.shape
    new = mx.ones((len(rows), 2, 300, 3))
    for mine, its in zip(merged.update_and_fetch(new, new), expected.update_and_fetch(new, new), strict=True):
        assert mine.tolist() == its.tolist()
    assert merged.keys.shape == held, "the room was too small"


def test_one_sequence_is_copied_only_as_its_next_tokens_come() -> None:
    row = filled(5)
    before = row.keys.tolist()
    (merged,) = merge_layers([[row]], room=3)
    assert merged.keys.shape[2] == 5
    new = mx.ones((1, 2, 3, 3))
    keys, _ = merged.update_and_fetch(new, new)
    assert merged.keys.shape[2] > 8
    assert (keys[..., :5, :].tolist(), row.keys.tolist()) == (row.keys_and_values()[0].tolist(), before)


def test_other_caches_and_empty_ones_are_merged_by_mlx_lm() -> None:
    rotating: Any = RotatingKVCache(max_size=8)  # type: ignore[no-untyped-call]
    (merged,) = merge_layers([[rotating], [rotating]], room=3)
    assert type(merged) is type(RotatingKVCache.merge([rotating, rotating]))  # type: ignore[no-untyped-call]
    (empty,) = merge_layers([[filled(0)], [filled(0)]], room=3)
    assert empty.empty()


def test_prompts_that_all_end_leave_with_their_caches_and_not_with_copies(model: Any) -> None:
    batch = PromptBatch(
        model, [1, 2], [make_prompt_cache(model), make_prompt_cache(model)], tokens=[[], []], samplers=[None, None],
        logits_processors=[(), ()],
    )  # fmt: skip
    layers = batch.prompt_cache
    batch.prompt([[5, 6], [7, 8]])
    ended = batch.split([0, 1])
    assert ended.prompt_cache is layers
    assert (len(ended), len(batch), batch.prompt_cache) == (2, 0, [])
    part = ended.split([1])
    assert (part.uids, ended.uids) == ([2], [1])


def test_the_caches_of_a_waiting_prompt_are_added_up_once(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[KVCache] = []
    nbytes: Any = KVCache.nbytes
    generator: Any = OnePassGenerator(model)
    expected: list[int] = []
    found: list[int] = []
    for prompt in PROMPTS:
        cache: Any = make_prompt_cache(model)
        model(mx.array([prompt]), cache=cache)
        generator.insert([[*prompt, 5]], max_tokens=[2], caches=[cache])
        expected.append(BatchGenerator.prompt_cache_nbytes.fget(generator))
        monkeypatch.setattr(KVCache, "nbytes", property(lambda layer: asked.append(layer) or nbytes.fget(layer)))
        found.append(generator.prompt_cache_nbytes)
        monkeypatch.setattr(KVCache, "nbytes", nbytes)
    assert found == expected
    assert len(asked) == len(PROMPTS) * len(model.layers)
    for _ in range(4):
        generator.next()
        assert generator.prompt_cache_nbytes == BatchGenerator.prompt_cache_nbytes.fget(generator)
    assert not generator._queued_bytes
