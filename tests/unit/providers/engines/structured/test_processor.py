"""The logits processor of a grammar: by itself, and in a batch."""

from __future__ import annotations

import re
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.generate import BatchGenerator
from mlx_lm.models import llama

from providers.chat.types import (
    ChoiceGrammar,
    JsonSchemaGrammar,
    RegexGrammar,
)
from providers.engines.structured.processor import BatchTokens
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.constrained_answers import (
    PADDING,
    PERSON,
    PROMPT,
    SIZE,
    TOKENIZER,
    answer,
    compile_answer,
    constrained,
)


@pytest.mark.parametrize("limit", range(1, 9))
def test_an_answer_cut_short_is_the_beginning_of_a_valid_one(limit: int) -> None:
    choices = ["constantinople", "constitution", "costume party"]
    made = constrained(ChoiceGrammar(choices), limit, tokens=limit)
    assert not made.ended
    assert any(choice.startswith(made.text) for choice in choices)


@pytest.mark.parametrize("width", [SIZE, SIZE + 1, SIZE + PADDING])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16])
def test_logits_of_any_width_and_type_are_masked(width: int, dtype: mx.Dtype) -> None:
    made = constrained(RegexGrammar("[ab]{3}"), 1, width=width, dtype=dtype)
    assert made.ended
    assert re.fullmatch("[ab]{3}", made.text)


def test_after_the_end_only_the_end_comes() -> None:
    processor = compile_answer(RegexGrammar("ab")).processor()
    a, b = TOKENIZER.token_to_id("a"), TOKENIZER.token_to_id("b")
    fed = list(PROMPT)
    allowed = []
    for token in (a, b, tiny.END, tiny.END, None):
        logits = processor(mx.array(fed), mx.zeros((1, SIZE)))
        allowed.append(np.flatnonzero(np.isfinite(np.array(logits[0]))).tolist())
        fed.append(token)  # type: ignore[arg-type]
    assert allowed == [[a], [b], [tiny.END], [tiny.END], [tiny.END]]
    assert processor.done
    assert processor.failure is None


def test_a_token_against_the_grammar_forces_the_end_and_is_reported() -> None:
    compiled = compile_answer(RegexGrammar("ab"), param="guided_regex")
    processor = compiled.processor()
    processor(mx.array(PROMPT), mx.zeros((1, SIZE)))
    assert compiled.failed(processor) is None
    stray = TOKENIZER.token_to_id("z")
    logits = processor(mx.array([*PROMPT, stray]), mx.zeros((1, SIZE)))
    assert np.flatnonzero(np.isfinite(np.array(logits[0]))).tolist() == [tiny.END]
    failed = compiled.failed(processor)
    assert failed is not None
    assert failed.param == "guided_regex"


def test_answers_of_one_grammar_do_not_disturb_each_other() -> None:
    compiled = compile_answer(JsonSchemaGrammar(PERSON))
    alone = answer(compiled.processor(), 5).text
    other = compiled.processor()
    answer(other, 6, tokens=4)
    assert answer(compiled.processor(), 5).text == alone


def test_a_grammar_can_start_after_a_marker() -> None:
    marker = TOKENIZER.encode("hello!", add_special_tokens=False).ids
    processor = compile_answer(RegexGrammar("[01]{4}"), start_after="hello!").processor()
    fed, after = list(PROMPT), []
    script = [*TOKENIZER.encode("some hello ", add_special_tokens=False).ids, *marker]
    random = np.random.default_rng(1)
    for step in range(len(script) + 5):
        raw = mx.array(random.normal(size=(1, SIZE)))
        logits = processor(mx.array(fed), raw)
        if step < len(script):
            assert mx.array_equal(logits, raw), "free until the marker is whole"
            fed.append(script[step])
        else:
            fed.append(int(mx.argmax(logits).item()))
            after.append(fed[-1])
    assert re.fullmatch("[01]{4}", TOKENIZER.decode(after[:4]))
    assert after[4] == tiny.END


def test_a_marker_in_the_prompt_starts_nothing() -> None:
    processor = compile_answer(RegexGrammar("[01]{4}"), start_after=TOKENIZER.decode(PROMPT[-1:])).processor()
    raw = mx.zeros((1, SIZE))
    assert mx.array_equal(processor(mx.array(PROMPT), raw), raw)
    assert mx.array_equal(processor(mx.array([*PROMPT, TOKENIZER.token_to_id("z")]), raw), raw)


# ── in a batch ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _model() -> Any:
    mx.random.seed(7)
    model = llama.Model(llama.ModelArgs.from_dict(tiny.config(vocab_size=SIZE + PADDING)))
    mx.eval(model.parameters())
    return model


def _run(generator: Any, found: dict[int, list[int]], steps: int) -> None:
    for _ in range(steps):
        for response in generator.next()[1]:
            found.setdefault(response.uid, []).append(response.token)


@pytest.mark.parametrize("follow", [True, False])
def test_rows_with_and_without_a_grammar_share_a_batch_that_grows_and_shrinks(follow: bool) -> None:
    model = _model()

    def sample(logprobs: mx.array) -> mx.array:
        return mx.random.categorical(logprobs * (1 / 1.5))

    generator = BatchGenerator(model, stop_tokens=[[tiny.END]], completion_batch_size=8, max_tokens=60)
    source = BatchTokens(generator)
    patterns = {}

    def insert(pattern: str | None) -> int:
        processors = []
        if pattern is not None:
            processors.append(compile_answer(RegexGrammar(pattern)).processor())
        (uid,) = generator.insert([PROMPT], samplers=[sample], logits_processors=[list(processors)])
        for processor in processors:
            if follow:
                processor.follow(source, uid)
            patterns[uid] = pattern
        return int(uid)

    found: dict[int, list[int]] = {}
    free = insert(None)
    removed = insert("[0-9]{50}")
    insert("[abc]{20}")
    _run(generator, found, 6)
    insert("(xy){7}")
    _run(generator, found, 4)
    generator.remove([removed])
    insert("é{3}")
    _run(generator, found, 50)
    generator.close()
    assert free in found
    assert len(found[free]) > len(found[removed])
    for uid, pattern in patterns.items():
        text = TOKENIZER.decode(found[uid])
        assert re.fullmatch(pattern if uid != removed else "[0-9]{1,49}", text), (pattern, text)
