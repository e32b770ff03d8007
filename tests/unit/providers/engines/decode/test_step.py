"""A decode step of our own gives mlx-lm's logits, to float32 rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.models import gemma, gemma3_text, llama, qwen2, qwen3
from mlx_lm.models.cache import BatchKVCache, make_prompt_cache
from mlx_lm.tuner.utils import linear_to_lora_layers

from providers.engines.decode import fused
from providers.engines.decode.fused import Projection
from providers.engines.decode.step import prepare_decode_step
from providers.engines.process.weights import dtype_in_words, weight_bytes
from tests.unit.providers.engines import tiny

FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (llama, {}),
    "llama 3": (llama, {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}),
    "mistral": (llama, {"model_type": "mistral", "attention_bias": True, "mlp_bias": True}),
    "qwen2": (qwen2, {}),
    "qwen3": (qwen3, {}),
    "gemma": (gemma, {}),
    "gemma3": (gemma3_text, {"sliding_window": 24, "sliding_window_pattern": 2, "query_pre_attn_scalar": 16}),
}
SHORTENED = {"llama", "llama 3", "mistral", "qwen2", "qwen3"}
PROMPTS = [[5, 9, 3, 7, 1, 20, 4, 2, 2, 8], [17, 3, 11, 6], [9, 9, 1, 2, 30, 31, 32]]


def build(family: str, change: Callable[[Any], Any] = lambda model: None, **changes: Any) -> Any:
    """A model with random weights. `changes` go into its config."""
    module, config = FAMILIES[family]
    args = module.ModelArgs.from_dict(
        tiny.config(**{"model_type": family, "head_dim": 16, "num_hidden_layers": 3} | config | changes)
    )
    mx.random.seed(4)
    model = module.Model(args)
    arrays = tree_flatten(model.parameters())
    model.update(tree_unflatten([(name, mx.random.normal(array.shape) * 0.2) for name, array in arrays]))
    change(model)
    mx.eval(model.parameters())
    return model


def quantize(model: Any) -> None:
    nn.quantize(model, group_size=32, bits=4)


def adapt(model: Any) -> None:
    """Quantised weights with an adapter beside some of them."""
    quantize(model)
    model.freeze()
    parameters = {"rank": 4, "scale": 2.0, "dropout": 0.0, "keys": ["self_attn.q_proj", "self_attn.v_proj"]}
    linear_to_lora_layers(model, 3, parameters)
    for _, module in model.named_modules():
        if "lora_b" in module:
            module.lora_b = mx.random.normal(module.lora_b.shape) * 0.1
    model.eval()


def logits(model: Any) -> list[mx.array]:
    """Of three prompts, of steps beyond the cache's first growth, and after a sequence left and another came."""
    fed = [prompt + [0] * (10 - len(prompt)) for prompt in PROMPTS]
    caches = merged(model, 3)
    for cache in caches:
        cache.prepare(lengths=[len(prompt) for prompt in PROMPTS], right_padding=[10 - len(each) for each in PROMPTS])
    found = [model(mx.array(fed), cache=caches)[:1]]
    for cache in caches:
        cache.finalize()
    found += [model(mx.array([[step], [step + 1], [40 - step]]), cache=caches) for step in range(12)]
    for cache in caches:
        grow(cache)
        cache.filter([2, 1])
    found.append(model(mx.array([[3], [4]]), cache=caches))
    late = merged(model, 1)
    found.append(model(mx.array([[7, 8, 9]]), cache=late))
    for cache, other in zip(caches, late, strict=True):
        cache.extend(other)
    found += [model(mx.array([[3], [4], [step]]), cache=caches) for step in range(3)]
    mx.eval(found)
    return found


def merged(model: Any, count: int) -> list[Any]:
    return [layer.merge([layer] * count) for layer in make_prompt_cache(model)]


def grow(cache: Any) -> None:
    """Leave no room behind the tokens, as after 256 of them."""
    if type(cache) is BatchKVCache:
        cache.keys, cache.values = (array[..., : cache._idx, :] for array in (cache.keys, cache.values))


def assert_close(found: list[mx.array], expected: list[mx.array]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert mx.abs(ours - theirs).max() < 2e-5 * mx.abs(theirs).max()


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("change", [lambda model: None, quantize, adapt], ids=["plain", "quantised", "adapted"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_mlx_lm(family: str, change: Callable[[Any], None]) -> None:
    expected = logits(build(family, change))
    model = build(family, change)
    prepare_decode_step(model, "cuda", "auto")

    assert_close(logits(model), expected)
    projections = [module for _, module in model.named_modules() if type(module) is Projection]
    assert len(projections) == 5 * len(model.layers)
    shortened = [type(layer).__name__.startswith("Shortened") for layer in model.layers]
    assert shortened == [family in SHORTENED and change is not adapt] * len(model.layers)


@pytest.mark.parametrize("device", ["cpu", "metal"])
def test_another_device_may_have_it(device: str) -> None:
    expected = logits(build("qwen3"))
    model = build("qwen3")
    prepare_decode_step(model, device, "own")

    assert_close(logits(model), expected)
    assert type(model.layers[0].self_attn.k_proj) is Projection


@pytest.mark.parametrize(("device", "choice"), [("cpu", "auto"), ("metal", "auto"), ("cuda", "mlx-lm")])
def test_elsewhere_a_model_stays_as_it_is(device: str, choice: Any) -> None:
    model = build("qwen2")
    before = [name for name, _ in tree_flatten(model.parameters())]
    prepare_decode_step(model, device, choice)
    assert [name for name, _ in tree_flatten(model.parameters())] == before


@pytest.mark.parametrize("change", [lambda model: None, quantize, adapt], ids=["plain", "quantised", "adapted"])
def test_weights_are_in_memory_once(change: Callable[[Any], None]) -> None:
    model = build("qwen2", change)
    size, dtype = weight_bytes(model), dtype_in_words(model)
    prepare_decode_step(model, "cuda", "auto")
    assert (weight_bytes(model), dtype_in_words(model)) == (size, dtype)


def test_projections_of_other_kinds_stay() -> None:
    model = build("qwen2", lambda model: setattr(model.layers[1].self_attn, "k_proj", nn.Linear(64, 32, bias=False)))
    prepare_decode_step(model, "cuda", "auto")
    assert [type(layer.self_attn.v_proj) is Projection for layer in model.layers] == [True, False, True]


def test_a_family_that_is_not_known_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "FAMILIES", frozenset({"qwen3"}))
    model = build("qwen2")
    prepare_decode_step(model, "cuda", "auto")
    assert not any(type(module) is Projection for _, module in model.named_modules())


@pytest.mark.parametrize("change", [lambda model: None, quantize], ids=["plain", "quantised"])
def test_a_projection_of_many_rows_takes_its_own_weights(change: Callable[[Any], None]) -> None:
    plain, model = build("mistral", change), build("mistral", change)
    prepare_decode_step(model, "cuda", "auto")
    many = mx.random.normal((2, 300, 64))
    for name in ("q_proj", "k_proj", "v_proj"):
        ours, theirs = (each.layers[0].self_attn[name](many) for each in (model, plain))
        assert mx.allclose(ours, theirs, atol=1e-5)
