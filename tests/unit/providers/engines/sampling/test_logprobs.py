"""Log-probabilities of an output are the model's own, whatever influenced the choice."""

from __future__ import annotations

import math
from pathlib import Path

import mlx.core as mx
import pytest

from providers.chat.types import ChoiceGrammar, SamplingParams, TokenLogprob, TokenPrompt
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import EngineClient
from tests.unit.providers.engines.inprocess import SteppedEngine

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
PROMPT = [40, 50, 60, 70]
WIDTH = len(tiny.vocabulary()) + 9


def likelihoods(engine: SteppedEngine, tokens: list[int]) -> list[float]:
    """The model's log-probabilities of the token after these, at every id."""
    logits = engine.engine._model(mx.array([tokens]))[0, -1].astype(mx.float32)
    values: list[float] = (logits - mx.logsumexp(logits)).tolist()
    return values


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(temperature=1.3, top_k=5, seed=4),
        SamplingParams(temperature=0.7, seed=4, logit_bias={tiny.END: -100.0}, frequency_penalty=1.5),
    ],
    ids=["filtered", "biased and penalised"],
)
def test_they_are_the_models_own(tiny_folder: Path, sampling: SamplingParams) -> None:
    engine = SteppedEngine(tiny_folder)
    answer = engine.ask("own", TokenPrompt(PROMPT), sampling=sampling, max_tokens=6, top_logprobs=3)
    assert answer.logprobs
    tokens = list(PROMPT)
    for told in answer.logprobs:
        values = likelihoods(engine, tokens)
        best = sorted(values, reverse=True)[:3]
        assert [value for _, _, value in told.top] == pytest.approx(best, abs=1e-3)
        token = next(id for id in range(WIDTH) if engine.engine._text.piece(id) == (told.token, told.raw))
        assert told.logprob == pytest.approx(values[token], abs=1e-3)
        tokens.append(token)


def test_the_tokens_spell_the_answer_and_the_likeliest_are_probabilities(engine: EngineClient) -> None:
    answer = engine.ask("spell", "hello", sampling=NO_END, max_tokens=24, top_logprobs=128)
    spelled = b"".join(told.raw for told in answer.logprobs)
    assert spelled.decode(errors="replace") == answer.text
    for told in answer.logprobs:
        assert told.logprob <= 0.0
        assert told.token == told.raw.decode(errors="replace")
        total = sum(math.exp(value) for _, _, value in told.top)
        assert 0.5 < total < 1.0001
        assert len(told.top) == 128


def test_no_likeliest_tokens_are_reported_when_none_are_requested(engine: EngineClient) -> None:
    answer = engine.ask("zero", "hello", sampling=NO_END, max_tokens=5, top_logprobs=0)
    assert answer.logprobs
    assert all(told.top == [] for told in answer.logprobs)


def test_neighbours_without_the_option_get_no_log_probabilities_and_the_same_answer(engine: EngineClient) -> None:
    alone = engine.ask("alone", "neighbour", sampling=NO_END, max_tokens=20)
    asking = [engine.generate(f"a{i}", f"asks {i}", sampling=NO_END, max_tokens=20, top_logprobs=5) for i in range(3)]
    plain = engine.generate("plain", "neighbour", sampling=NO_END, max_tokens=20)
    engine.wait(plain, *asking)
    assert plain.text == alone.text
    assert all(delta.logprobs is None for delta in plain.deltas)
    assert all(answer.logprobs for answer in asking)


def test_log_probabilities_of_forced_tokens_are_the_model_s_own(roomy: EngineClient) -> None:
    answer = roomy.ask("forced", "x", grammar=ChoiceGrammar(["zebra"]), max_tokens=20, top_logprobs=1)
    assert answer.text == "zebra"
    assert sum(told.logprob for told in answer.logprobs) < -1.0


def test_the_end_is_among_the_likeliest_by_its_name(engine: EngineClient) -> None:
    answer = engine.ask("end", "hello", sampling=NO_END, max_tokens=12, top_logprobs=128)
    named: list[TokenLogprob] = [told for told in answer.logprobs if any(name == "<|end|>" for name, _, _ in told.top)]
    assert named
