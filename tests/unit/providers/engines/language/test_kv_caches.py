"""Quantised and bounded key-value caches: of a single sequence, in a batch, and beside the prefix cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import QuantizedKVCache, RotatingKVCache

from providers.chat.types import SamplingParams, TokenPrompt
from providers.engines.language.loading import load_language_model
from providers.engines.process.engine import EngineLoadError
from providers.spec import ModelSpec
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import Answer
from tests.unit.providers.engines.inprocess import SteppedEngine

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
PROMPTS = [[(7 * row + 13 * place) % 250 + 2 for place in range(5 + 17 * row)] for row in range(4)]
WINDOW = 40
TOKENS = 60
BROKEN = "\N{REPLACEMENT CHARACTER}"
"""At the end of a text: half a character, which the engine leaves out."""


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with heads wide enough to be quantised in groups."""
    return tiny.write_folder(tmp_path_factory.mktemp("wide"), num_attention_heads=2, num_key_value_heads=1)


def texts(engine: SteppedEngine, prompts: list[list[int]], name: str) -> list[str]:
    """The engine's answers to all of them together."""
    answers = [
        engine.submit(f"{name}{i}", TokenPrompt(prompt), sampling=NO_END, max_tokens=TOKENS)
        for i, prompt in enumerate(prompts)
    ]
    engine.run()
    return [_whole(answer) for answer in answers]


def _whole(answer: Answer) -> str:
    assert answer.finished is not None, answer.failed
    assert answer.finished.usage.completion_tokens == TOKENS
    return answer.text.rstrip(BROKEN)


def reference(folder: Path, prompt: list[int], cache: Any) -> str:
    """mlx-lm's output for this prompt with such a cache in every layer, without a batch."""
    loaded = load_language_model(ModelSpec(name="tiny", path=str(folder)), "cpu", lambda stage, fraction: None)
    bias = mx.zeros((tiny.config()["vocab_size"],))
    bias[tiny.END] = -100.0
    steps = generate_step(
        mx.array(prompt),
        loaded.model,
        max_tokens=TOKENS,
        logits_processors=[lambda tokens, logits: logits + bias],
        prompt_cache=[cache() for _ in loaded.model.layers],
    )
    return str(loaded.tokenizer.decode([token for token, _ in steps], skip_special_tokens=True)).rstrip(BROKEN)


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_caches_equal_mlx_lm_s_in_a_batch_and_outside(wide_folder: Path, bits: int) -> None:
    engine = SteppedEngine(wide_folder, kv_bits=bits, kv_group_size=32, prefix_cache_bytes=0)

    batch = texts(engine, PROMPTS, "batch")

    expected = [reference(wide_folder, p, lambda: QuantizedKVCache(group_size=32, bits=bits)) for p in PROMPTS]
    assert batch == expected
    assert [texts(engine, [prompt], f"alone{i}")[0] for i, prompt in enumerate(PROMPTS)] == expected
    assert expected != [reference(wide_folder, prompt, lambda: RotatingKVCache(max_size=512)) for prompt in PROMPTS]


def test_a_quantised_prompt_is_reused_and_cut(wide_folder: Path) -> None:
    engine = SteppedEngine(wide_folder, kv_bits=8, kv_group_size=32)
    fresh = texts(engine, [PROMPTS[3]], "one")

    again = engine.submit("again", TokenPrompt(PROMPTS[3]), sampling=NO_END, max_tokens=TOKENS)
    other = engine.submit("other", TokenPrompt([*PROMPTS[3][:30], 5]), sampling=NO_END, max_tokens=TOKENS)
    engine.run()

    assert again.accepted is not None
    assert other.accepted is not None
    assert again.accepted.cached_tokens == len(PROMPTS[3]) - 1
    assert other.accepted.cached_tokens == 30
    assert again.text.rstrip(BROKEN) == fresh[0]
    apart = SteppedEngine(wide_folder, kv_bits=8, kv_group_size=32, prefix_cache_bytes=0)
    assert other.text.rstrip(BROKEN) == texts(apart, [[*PROMPTS[3][:30], 5]], "other")[0]


def test_quantised_caches_take_less_memory(wide_folder: Path) -> None:
    sizes = {}
    for bits in (None, 8, 4):
        engine = SteppedEngine(wide_folder, kv_bits=bits, kv_group_size=32)
        texts(engine, [PROMPTS[3]], "one")
        sizes[bits] = engine.engine.memory().prefix_cache
    assert 0 < sizes[4] < sizes[8] < sizes[None]


def test_a_bounded_cache_forgets_what_mlx_lms_rotating_cache_forgets(tiny_folder: Path) -> None:
    engine = SteppedEngine(tiny_folder, max_kv_size=WINDOW, prefix_cache_bytes=0)

    batch = texts(engine, PROMPTS, "batch")

    expected = [reference(tiny_folder, prompt, lambda: RotatingKVCache(max_size=WINDOW)) for prompt in PROMPTS]
    assert batch == expected
    assert [texts(engine, [prompt], f"alone{i}")[0] for i, prompt in enumerate(PROMPTS)] == expected
    unbounded = SteppedEngine(tiny_folder, prefix_cache_bytes=0)
    assert texts(unbounded, PROMPTS, "all") != expected


def test_a_bounded_cache_is_reused_where_the_whole_of_it_is_a_prefix(tiny_folder: Path) -> None:
    engine = SteppedEngine(tiny_folder, max_kv_size=WINDOW)
    first = engine.ask("first", TokenPrompt(PROMPTS[3]), sampling=NO_END, max_tokens=TOKENS)

    again = engine.ask("again", TokenPrompt(PROMPTS[3]), sampling=NO_END, max_tokens=TOKENS)

    assert again.text == first.text
    assert again.accepted is not None
    assert again.accepted.cached_tokens == len(PROMPTS[3]) - 1


def test_heads_that_no_group_fits_are_refused_by_name(tiny_folder: Path) -> None:
    with pytest.raises(EngineLoadError, match="--kv-bits: this model's attention cannot use quantised keys"):
        SteppedEngine(tiny_folder, kv_bits=8)
