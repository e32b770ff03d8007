"""Passes over one sequence in numpy agree with mlx-lm's own to float32 rounding, and fill its caches as it does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import gemma3_text, llama, qwen2, qwen3
from mlx_lm.models.cache import BatchKVCache, RotatingKVCache, make_prompt_cache

from providers.engines.cpu import attention, one_sequence
from providers.engines.cpu.one_sequence import compute_rows_in_numpy
from providers.engines.cpu.second_core import SecondCore
from providers.engines.language.kv_caches import QuantizedCache
from providers.engines.process.mlx_lm_internals.prefill import last_logits, merge_layers
from tests.unit.providers.engines import tiny

PROMPT, STEPS = one_sequence._BLOCK - 4, 9
"""The steps reach positions whose rotations are not computed yet."""
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (llama, {}),
    "its own output": (llama, {"tie_word_embeddings": False}),
    "biases": (llama, {"attention_bias": True, "mlp_bias": True}),
    "wide heads": (llama, {"head_dim": 32}),
    "scaled positions": (llama, {"rope_scaling": {"type": "linear", "factor": 2.0}}),
    "llama 3's positions": (llama, {"rope_scaling": LLAMA3}),
    "qwen2": (qwen2, {"model_type": "qwen2"}),
    "qwen3": (qwen3, {"model_type": "qwen3", "head_dim": 16}),
}

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a Mac's CPU has other kernels")


def made(family: str = "llama", **changes: Any) -> Any:
    """A model with random weights: the same for the same arguments."""
    architecture, own = FAMILIES[family]
    mx.random.seed(7)
    model = architecture.Model(architecture.ModelArgs.from_dict(tiny.config(**own, **changes)))
    weights = [(name, mx.random.normal(array.shape) * 0.2) for name, array in tree_flatten(model.parameters())]
    model.load_weights(weights)
    mx.eval(model.parameters())
    return model


def pair(family: str = "llama", **changes: Any) -> tuple[Any, Any]:
    """mlx-lm's model, and the same one with its rows in numpy."""
    plain, fast = made(family, **changes), made(family, **changes)
    assert compute_rows_in_numpy(fast, "cpu")
    return plain, fast


def tokens(rows: int, count: int, seed: int = 1) -> mx.array:
    return mx.random.randint(0, 200, (rows, count), key=mx.random.key(seed))


def batched(caches: Sequence[Any], padding: int) -> list[Any]:
    """The caches in a batch in which they were beside a sequence that is longer, and left."""
    merged = []
    for cache in caches:
        other = make_prompt_cache(made())[0]
        shape = (1, cache.keys.shape[1], cache.offset + padding, cache.keys.shape[3])
        other.update_and_fetch(mx.ones(shape), mx.ones(shape))
        batch = BatchKVCache.merge([other, cache])
        batch.filter(mx.array([1]))
        merged.append(batch)
    return merged


def steps(model: Any, caches: Any, count: int = STEPS, length: int = 1) -> mx.array:
    """The logits of passes over `length` tokens, one after the other."""
    fed = tokens(1, count * length, seed=2)
    return mx.concatenate([model(some, cache=caches) for some in mx.split(fed, count, axis=1)], axis=1)


def check(plain: mx.array, fast: mx.array) -> None:
    assert plain.shape == fast.shape
    assert mx.allclose(plain, fast, rtol=1e-4, atol=1e-4)
    assert mx.array_equal(plain.argmax(-1), fast.argmax(-1))


class Calls:
    """How many rows layers computed in numpy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[int] = []
        mix = one_sequence._mix

        def counted(queries: Any, *args: Any) -> None:
            self.rows.append(queries.shape[1])
            mix(queries, *args)

        monkeypatch.setattr(one_sequence, "_mix", counted)

    @property
    def count(self) -> int:
        return len(self.rows)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


class Halves(SecondCore):
    """Counts what was shared with a second core."""

    count = 0

    def both(self, *halves: Any) -> Any:
        self.count += 1
        return super().both(*halves)


@pytest.fixture(params=[1, 2], ids=["one core", "two cores"])
def second_core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Halves | None:
    """What models compute halves with, if their passes have at least two rows."""
    second = Halves() if request.param == 2 else None
    monkeypatch.setattr(one_sequence, "find_second_core", lambda: second)
    monkeypatch.setattr(one_sequence, "_SHARED", range(2, 257))
    return second


def check_caches(plain: Sequence[Any], fast: Sequence[Any], size: int) -> None:
    for expected, found in zip(plain, fast, strict=True):
        assert expected.size() == found.size() == size
        assert mx.array_equal(mx.array(expected.offset), mx.array(found.offset))
        for one, other in zip(expected.keys_and_values(), found.keys_and_values(), strict=True):
            assert mx.allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("count", "length"), [(STEPS, 1), (2, 4), (2, 70), (3, 35)])
@pytest.mark.parametrize("padding", [None, 0, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_passes_give_mlx_lms_logits_and_caches(
    family: str,
    padding: int | None,
    count: int,
    length: int,
    calls: Calls,
    second_core: Halves | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention, "_BLOCK", 1)
    monkeypatch.setattr(attention, "_LEAST_ROWS", 6)  # few enough for several blocks
    results = []
    for model in pair(family):
        caches: Any = make_prompt_cache(model)
        model(tokens(1, PROMPT), cache=caches)
        caches = caches if padding is None else batched(caches, padding)
        results.append((steps(model, caches, count, length), caches))

    (plain, plain_caches), (fast, fast_caches) = results
    check(plain, fast)
    assert calls.rows == [length] * count * len(fast_caches)
    assert second_core is None or (second_core.count > 0) == (length > 1)
    check_caches(plain_caches, fast_caches, PROMPT + count * length)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_layer_computes_only_the_row_that_the_output_gets(
    family: str, calls: Calls, second_core: Halves | None
) -> None:
    results = []
    for model in pair(family):
        caches: Any = make_prompt_cache(model)
        model(tokens(1, PROMPT), cache=caches)
        results.append((last_logits(model, tokens(1, 35, seed=2), caches, [35]), caches))

    (plain, plain_caches), (fast, fast_caches) = results
    check(plain, fast)
    assert calls.rows == [*[35] * (len(fast_caches) - 1), 1]
    check_caches(plain_caches, fast_caches, PROMPT + 35)


@pytest.mark.parametrize("kept", [1, 8, PROMPT])
def test_the_halves_of_a_pass_may_begin_and_end_anywhere(kept: int, second_core: Halves | None) -> None:
    results = []
    for model in pair():
        caches: Any = make_prompt_cache(model)
        model(tokens(1, kept), cache=caches)
        results.append(steps(model, caches, 1, 19))

    check(*results)


def test_a_prompt_begins_after_those_beside_it_have_left(calls: Calls, second_core: Halves | None) -> None:
    results = []
    for model in pair():
        caches: Any = make_prompt_cache(model)
        model(tokens(1, PROMPT), cache=caches)
        batch = merge_layers([caches, make_prompt_cache(model)], room=20)
        for cache in batch:
            cache.filter(mx.array([1]))
        results.append((steps(model, batch, 1, 19), batch))

    (plain, plain_caches), (fast, fast_caches) = results
    check(plain, fast)
    assert calls.count == 0
    check_caches(plain_caches, fast_caches, 19)


def test_a_cache_that_was_trimmed_goes_on_from_there() -> None:
    results = []
    for model in pair():
        caches: Any = make_prompt_cache(model)
        model(tokens(1, PROMPT), cache=caches)
        steps(model, caches)
        for cache in caches:
            cache.trim(STEPS + 5)
        results.append(steps(model, caches))

    check(*results)


def test_a_copy_of_a_cache_keeps_what_it_had() -> None:
    _, model = pair()
    caches: Any = make_prompt_cache(model)
    model(tokens(1, PROMPT), cache=caches)
    steps(model, caches, 1)
    batch = batched(caches, 3)
    kept = [cache.extract(0) for cache in batch]
    before = [mx.array(cache.keys) for cache in kept]

    steps(model, batch)
    for cache in batch:
        cache.trim(STEPS + 1)
    steps(model, batch)

    assert all(mx.array_equal(keys, cache.keys) for keys, cache in zip(before, kept, strict=True))


def test_first_chunks_and_batches_stay_with_mlx(calls: Calls) -> None:
    results = []
    for model in pair():
        first = model(tokens(1, PROMPT), cache=make_prompt_cache(model))
        caches = make_prompt_cache(model)
        chunks = [model(tokens(2, length), cache=caches) for length in (PROMPT, 3, 1)]
        results.append([first, *chunks])

    assert all(mx.array_equal(*both) for both in zip(*results, strict=True))
    assert calls.count == 0


@pytest.mark.parametrize("kind", ["quantised", "bounded", "none", "empty"])
def test_other_caches_stay_with_mlx(kind: str, calls: Calls) -> None:
    plain, fast = pair(hidden_size=128)
    results = []
    for model in (plain, fast):
        caches: Any = {
            "quantised": lambda: [QuantizedCache(32, 8) for _ in range(2)],
            "bounded": lambda: [RotatingKVCache(32) for _ in range(2)],
            "none": lambda: None,
            "empty": lambda: make_prompt_cache(made()),
        }[kind]()
        if kind not in ("none", "empty"):
            model(tokens(1, 12), cache=caches)
        results.append(model(tokens(1, 1), cache=caches))

    check(*results)
    assert calls.count == 0


def test_a_gate_may_be_far_from_zero() -> None:
    plain, fast = pair()
    for model in (plain, fast):
        for layer in model.layers:
            layer.mlp.gate_proj.weight = layer.mlp.gate_proj.weight * 500
    results = []
    for model in (plain, fast):
        caches = make_prompt_cache(model)
        model(tokens(1, 5), cache=caches)
        results.append(steps(model, caches, 2))

    assert mx.allclose(*results, rtol=1e-3, atol=1e-3)


def test_the_weights_are_those_of_the_model() -> None:
    plain, fast = pair("its own output")

    assert [name for name, _ in tree_flatten(plain.parameters())] == [
        name for name, _ in tree_flatten(fast.parameters())
    ]
    assert isinstance(fast.lm_head, nn.Linear)
    assert isinstance(fast.layers[0], llama.TransformerBlock)


def gemma() -> Any:
    own = {"model_type": "gemma3_text", "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window_pattern": 2}
    return gemma3_text.Model(gemma3_text.ModelArgs.from_dict(tiny.config(**own)))


def halved(model: Any) -> Any:
    model.set_dtype(mx.bfloat16)
    return model


def quantised(model: Any) -> Any:
    nn.quantize(model, group_size=32)
    return model


@pytest.mark.parametrize(
    ("make", "device"),
    [
        (made, "metal"),
        (made, "cuda"),
        (gemma, "cpu"),
        (lambda: halved(made()), "cpu"),
        (lambda: quantised(made()), "cpu"),
        (lambda: made(rope_traditional=True), "cpu"),
        (lambda: made(layer_types=["full_attention", "sliding_attention"], sliding_window=8), "cpu"),
    ],
    ids=["metal", "cuda", "family", "type", "quantised", "positions", "window"],
)
def test_other_models_and_devices_stay_with_mlx(make: Any, device: str, calls: Calls) -> None:
    model = make()

    assert not compute_rows_in_numpy(model, device)

    caches = make_prompt_cache(model)
    model(tokens(1, 5), cache=caches)
    model(tokens(1, 1), cache=caches)
    assert calls.count == 0
