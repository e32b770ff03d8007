"""Speculation while several sequences run: outputs equal those without it, whatever else is in the batch."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models import llama
from mlx_lm.models.cache import make_prompt_cache

from providers.chat.types import SamplingParams, TokenPrompt
from providers.engines.language.speculation.worth import Always
from providers.engines.process.mlx_lm_internals.cuts import SPARE
from tests.unit.providers.engines.client import GREEDY, Answer
from tests.unit.providers.engines.inprocess import SteppedEngine
from tests.unit.providers.engines.language.speculation.foresight import Foresight
from tests.unit.providers.engines.language.speculation.models import SEEDED, TOKENS, outcome, tally, write_model

PROMPTS = [
    TokenPrompt([5, 80, 17, 42, 9, 200, 33, 5, 80, 17]),
    TokenPrompt([9, 8]),
    TokenPrompt([(place * 37) % 250 + 2 for place in range(60)]),
    TokenPrompt([7, 7, 7, 7]),
]
KINDS: list[dict[str, Any]] = [
    {"sampling": SEEDED},
    {"sampling": SamplingParams(temperature=0.0, frequency_penalty=0.5)},
    {"sampling": SamplingParams(temperature=0.4, seed=3, logit_bias={7: 5.0})},
    {"top_logprobs": 2},
    {},
    {"sampling": SamplingParams(temperature=1.2, top_k=3, seed=5)},
    {"sampling": SamplingParams(temperature=0.3, xtc_probability=0.5, seed=6)},
    {"sampling": SamplingParams(temperature=0.0, repetition_penalty=1.2)},
]


def speculating(folder: Path, foreseen: list[list[int]] | None = None, **spec: Any) -> SteppedEngine:
    """An engine whose batch proposes whatever it can, without a look at the clock."""
    engine = SteppedEngine(folder, dtype="float32", **{"prompt_lookup": 6, **spec})
    speculation = engine.engine._speculation
    assert speculation is not None
    speculation.worth = Always()
    if foreseen is not None:
        speculation._proposer = Foresight(foreseen)
    return engine


def texts_of(plain: SteppedEngine, sampling: SamplingParams = GREEDY, tokens: int = 400) -> list[list[int]]:
    """The ids of the prompts and their answers, of that many tokens."""
    texts = []
    for prompt in PROMPTS:
        plain.submit("text", prompt, sampling=sampling, max_tokens=tokens)
        text: list[int] = []
        while plain.engine.busy:
            plain.step()
            text = next(iter(plain.engine._batch.generator.decoding.tokens), text)
        texts.append(text)
    return texts


@pytest.fixture(scope="module")
def texts(minds: SteppedEngine) -> list[list[int]]:
    """What `minds` answers at temperature 0."""
    return texts_of(minds)


def run_together(engine: SteppedEngine, requests: list[tuple[TokenPrompt, dict[str, Any]]]) -> list[Answer]:
    answers = [engine.submit(f"{n}", prompt, **request) for n, (prompt, request) in enumerate(requests)]
    engine.run()
    return answers


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
def test_answers_that_run_together_are_those_without_proposals(
    mindful: Path, minds: SteppedEngine, texts: list[list[int]], sampling: SamplingParams
) -> None:
    requests = [(prompt, {"sampling": sampling, "max_tokens": TOKENS - 7 * n}) for n, prompt in enumerate(PROMPTS)]
    engine = speculating(mindful, texts if sampling is GREEDY else texts_of(minds, sampling, TOKENS))

    answers = run_together(engine, requests)

    expected = [minds.ask("x", prompt, **each) for prompt, each in requests]
    assert [*map(outcome, answers)] == [*map(outcome, expected)]
    assert 100 < tally(engine).accepted < tally(engine).proposed


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
def test_texts_looked_up_together_are_those_without_proposals(
    circling: Path, circles: SteppedEngine, sampling: SamplingParams
) -> None:
    requests = [(prompt, {"sampling": sampling, "max_tokens": TOKENS - 7 * n}) for n, prompt in enumerate(PROMPTS)]
    engine = speculating(circling)

    answers = run_together(engine, requests)

    expected = [circles.ask("x", prompt, **each) for prompt, each in requests]
    assert [*map(outcome, answers)] == [*map(outcome, expected)]
    assert tally(engine).accepted > 0


def test_answers_that_repeat_themselves_take_fewer_steps_together(circling: Path) -> None:
    steps = []
    for engine in (SteppedEngine(circling, dtype="float32"), speculating(circling)):
        for n, prompt in enumerate(PROMPTS):
            engine.submit(f"{n}", prompt, max_tokens=TOKENS)
        steps.append(0)
        while engine.engine.busy:
            engine.step()
            steps[-1] += 1
    assert steps[1] < steps[0] / 2


def test_every_kind_of_request_keeps_its_answer_beside_the_others(circling: Path, circles: SteppedEngine) -> None:
    requests = [(PROMPTS[n % 4], {"max_tokens": 60, **kind}) for n, kind in enumerate([*KINDS, {"n": 2}])]
    engine = speculating(circling, max_concurrency=16)

    answers = run_together(engine, requests)

    for answer, (prompt, each) in zip(answers, requests, strict=True):
        expected = circles.ask("x", prompt, **each)
        assert outcome(answer) == outcome(expected)
        assert [token.token for token in answer.logprobs] == [token.token for token in expected.logprobs]
    assert tally(engine).accepted > 0


def test_a_request_joins_or_leaves_at_any_step_and_no_other_loses_a_token(
    mindful: Path, minds: SteppedEngine, texts: list[list[int]]
) -> None:
    engine = speculating(mindful, texts)
    expected = [outcome(minds.ask("x", prompt, max_tokens=TOKENS)) for prompt in PROMPTS]
    for steps in (1, 8):
        first = [engine.submit(f"{n}", PROMPTS[n], max_tokens=TOKENS) for n in (0, 1)]
        gone = engine.submit("gone", TokenPrompt([*PROMPTS[2].tokens, 9]), max_tokens=400)
        for _ in range(steps):
            engine.step()
        later = [engine.submit(f"{n}", PROMPTS[n], max_tokens=TOKENS) for n in (2, 3)]
        for _ in range(steps):
            engine.step()
        assert not gone.ended
        engine.engine.cancel("gone")
        engine.run()
        assert [outcome(answer) for answer in (*first, *later)] == expected
    assert tally(engine).accepted < tally(engine).proposed


def test_a_stop_string_inside_what_was_foreseen_ends_one_answer_only(circling: Path, circles: SteppedEngine) -> None:
    free = circles.ask("free", PROMPTS[0], max_tokens=TOKENS).text
    requests = [(PROMPTS[0], {"max_tokens": TOKENS, "stop": [free[-4:]]}), (PROMPTS[2], {"max_tokens": TOKENS})]

    answers = run_together(speculating(circling), requests)

    assert [*map(outcome, answers)] == [outcome(circles.ask("x", prompt, **each)) for prompt, each in requests]


@pytest.mark.parametrize("cache", [{}, {"kv_bits": 8, "kv_group_size": 32}], ids=["plain", "quantised"])
def test_caches_hold_what_a_pass_over_the_text_gives(tmp_path: Path, cache: dict[str, Any]) -> None:
    folder = write_model(tmp_path / "wide", memory=True, num_attention_heads=2, num_key_value_heads=1)
    plain = SteppedEngine(folder, dtype="float32", **cache)
    engine = speculating(folder, texts_of(plain, tokens=120), **cache)
    for n, prompt in enumerate(PROMPTS):
        engine.submit(f"{n}", prompt, max_tokens=300)
    while tally(engine).accepted < 100:
        engine.step()

    batch = engine.engine._batch
    computed = batch.computed([*batch.generator.decoding.uids])

    assert len(computed) == len(PROMPTS)
    for layers, tokens in computed.values():
        fresh = make_prompt_cache(engine.engine._model)
        engine.engine._model(mx.array([tokens], dtype=mx.uint32), cache=fresh)
        for layer, other in zip(layers, fresh, strict=True):
            assert int(layer.offset) == int(other.offset) == len(tokens)
            for mine, theirs in zip(unpacked(layer), unpacked(other), strict=True):
                assert mine.shape == theirs.shape
                assert mx.allclose(mine, theirs, atol=1e-4 if not cache else 0.05).item()


def unpacked(layer: Any) -> list[mx.array]:
    """Keys and values of a cache of one sequence, as numbers."""
    if not hasattr(layer, "bits"):
        length = int(layer.offset)
        return [layer.keys[..., :length, :], layer.values[..., :length, :]]
    length = int(layer.offset)
    arrays = [(part.keys[..., :length, :], part.values[..., :length, :]) for part in layer.caches]
    sides = zip(*arrays, strict=True)
    return [mx.dequantize(*side, group_size=layer.group_size, bits=layer.bits) for side in sides]


def test_a_long_run_of_cuts_takes_no_more_room_than_the_longest_sequence(mindful: Path, texts: list[list[int]]) -> None:
    engine = speculating(mindful, texts)
    for n, prompt in enumerate(PROMPTS):
        engine.submit(f"{n}", prompt, max_tokens=400)
    most = 0
    while engine.engine.busy:
        engine.step()
        decoding = engine.engine._batch.generator.decoding
        if len(decoding) == len(PROMPTS):
            used, longest = decoding.prompt_cache[0].size(), max(map(len, decoding.tokens))
            most = max(most, used - longest)
    assert tally(engine).accepted < tally(engine).proposed
    assert SPARE / 2 < most < SPARE + 8


def test_a_cancelled_answer_leaves_a_prefix_that_can_be_used(
    mindful: Path, minds: SteppedEngine, texts: list[list[int]]
) -> None:
    engine = speculating(mindful, texts)
    gone = engine.submit("gone", PROMPTS[0], max_tokens=400)
    engine.submit("other", PROMPTS[2], max_tokens=400)
    while tally(engine).accepted < 60:
        engine.step()
        assert not gone.ended
    text = engine.engine._batch.generator.decoding.tokens[0].copy()
    engine.engine.cancel("gone")
    engine.engine.cancel("other")
    engine.run()

    longer = TokenPrompt([*text, 77])
    answers = [each.ask("after", longer, max_tokens=TOKENS) for each in (engine, minds)]

    assert outcome(answers[0]) == outcome(answers[1])
    assert answers[0].accepted is not None
    assert answers[0].accepted.cached_tokens > len(PROMPTS[0].tokens)


def test_a_step_that_fails_costs_no_answer(
    mindful: Path, minds: SteppedEngine, texts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = speculating(mindful, texts)
    answers = [engine.submit(f"{n}", PROMPTS[n], max_tokens=TOKENS) for n in (0, 1, 2)]
    while tally(engine).proposed < 20:
        engine.step()
    batch = engine.engine._batch
    with monkeypatch.context() as patch:
        patch.setattr(batch.generator.decoding, "cut", _fail)
        while engine.engine._batch is batch:
            engine.step()
    engine.run()

    # The last request is to blame, as after any step that fails.
    assert answers[2].failed is not None
    assert [outcome(answer) for answer in answers[:2]] == [
        outcome(minds.ask("x", prompt, max_tokens=TOKENS)) for prompt in PROMPTS[:2]
    ]


def _fail(*_: Any) -> None:
    raise RuntimeError("no memory")


def test_memory_is_given_back(mindful: Path, texts: list[list[int]]) -> None:
    engine = speculating(mindful, texts, prefix_cache_bytes=0)
    requests: list[tuple[TokenPrompt, dict[str, Any]]] = [(prompt, {"max_tokens": TOKENS}) for prompt in PROMPTS]
    used = []
    for _ in range(3):
        run_together(engine, requests)
        assert engine.engine._batch.nbytes == 0
        mx.clear_cache()
        used.append(mx.get_active_memory())
    assert used[2] <= used[1]


def test_a_model_that_masks_all_but_the_last_tokens_proposes_only_for_one_answer(
    circling: Path, circles: SteppedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "create_attention_mask", functools.partial(llama.create_attention_mask, window_size=500))
    engine = speculating(circling)

    requests: list[tuple[TokenPrompt, dict[str, Any]]] = [(prompt, {"max_tokens": TOKENS}) for prompt in PROMPTS]
    answers = run_together(engine, requests)
    assert tally(engine).proposed == 0
    assert outcome(answers[0]) == outcome(circles.ask("x", PROMPTS[0], max_tokens=TOKENS))

    engine.ask("single", PROMPTS[0], max_tokens=TOKENS)
    assert tally(engine).proposed > 0


def test_texts_of_other_clients_propose_nothing(circling: Path) -> None:
    engine = speculating(circling)
    answers = [
        engine.submit("a", TokenPrompt([*range(10, 60)]), max_tokens=3, cache_salt="a"),
        engine.submit("b", TokenPrompt([10, 11]), max_tokens=3, cache_salt="b"),
    ]
    engine.run()
    assert [answer.failed for answer in answers] == [None, None]
    assert tally(engine).proposed == 0
