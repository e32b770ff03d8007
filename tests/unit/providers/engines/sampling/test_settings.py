"""Sampling settings, seeds and penalties, on small arrays."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.sample_utils import apply_min_p, apply_top_k, apply_top_p

from providers.chat.types import SamplingParams
from providers.engines.sampling.settings import Settings, make_processors, make_sampler, resolve
from providers.errors import InvalidRequest

VOCABULARY = 8


def logprobs(*rows: list[float]) -> mx.array:
    made = mx.array(rows)
    return made - mx.logsumexp(made, axis=-1, keepdims=True)


ROW = [0.1, 2.0, 1.0, 0.3, 1.9, -1.0, 0.0, 0.5]


def test_the_request_wins_over_the_model_and_the_model_over_openai() -> None:
    model = {"temperature": 0.2, "top_p": 0.9, "top_k": 5}
    settings = resolve(SamplingParams(top_p=0.5), model, vocabulary=VOCABULARY)
    assert (settings.temperature, settings.top_p, settings.top_k) == (0.2, 0.5, 5)
    assert resolve(SamplingParams(), {}, vocabulary=VOCABULARY) == Settings(temperature=1.0, top_p=1.0)


@pytest.mark.parametrize("junk", [None, "0.5", math.nan, math.inf, True, [1]])
def test_junk_in_the_models_generation_config_is_passed_over(junk: object) -> None:
    assert resolve(SamplingParams(), {"temperature": junk}, vocabulary=VOCABULARY).temperature == 1.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_p", 1.1),
        ("top_p", -0.1),
        ("top_k", -2),
        ("min_p", 1.5),
        ("xtc_probability", 2.0),
        ("xtc_threshold", 0.6),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", -1.0),
        ("repetition_context_size", 0),
        ("presence_penalty", math.nan),
        ("frequency_penalty", math.inf),
        ("logit_bias", {VOCABULARY: 1.0}),
        ("logit_bias", {-1: 1.0}),
        ("logit_bias", {0: 101.0}),
        ("logit_bias", {0: math.nan}),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        resolve(SamplingParams(**{name: value}), {}, vocabulary=VOCABULARY)
    assert refused.value.param == name


@given(
    st.builds(
        SamplingParams,
        temperature=st.none() | st.floats(0, 100),
        top_p=st.none() | st.floats(0, 1),
        top_k=st.none() | st.integers(-1, 2**40),
        min_p=st.none() | st.floats(0, 1),
        xtc_probability=st.none() | st.floats(0, 1),
        xtc_threshold=st.none() | st.floats(0, 0.5),
        repetition_penalty=st.none() | st.floats(0.01, 100),
        repetition_context_size=st.none() | st.integers(1, 2**30),
        presence_penalty=st.none() | st.floats(-2, 2),
        frequency_penalty=st.none() | st.floats(-2, 2),
        logit_bias=st.none() | st.dictionaries(st.integers(0, VOCABULARY - 1), st.floats(-100, 100)),
        seed=st.none() | st.integers(-(2**63), 2**64 - 1),
    )
)
def test_whatever_is_accepted_gives_a_token_of_the_vocabulary(params: SamplingParams) -> None:
    try:
        settings = resolve(params, {}, vocabulary=VOCABULARY)
    except InvalidRequest:
        return
    logits = mx.array([ROW])
    for processor in make_processors(params, {}):
        logits = processor(mx.array([1, 2, 3], dtype=mx.int32), logits)
    (token,) = make_sampler(settings, params.seed)(logits - mx.logsumexp(logits, axis=-1, keepdims=True)).tolist()
    assert 0 <= token < VOCABULARY


@pytest.mark.parametrize("params", [SamplingParams(temperature=0), SamplingParams(top_p=0), SamplingParams(top_k=1)])
def test_zero_temperature_zero_top_p_and_one_top_k_take_the_likeliest(params: SamplingParams) -> None:
    sampler = make_sampler(resolve(params, {}, vocabulary=VOCABULARY), seed=3)
    assert sampler(logprobs(ROW, ROW[::-1])).tolist() == [1, 6]


def test_equal_settings_share_a_sampler_so_that_a_batch_is_sampled_together() -> None:
    settings = Settings(temperature=0.7, top_p=0.9)
    assert make_sampler(settings, None) is make_sampler(Settings(temperature=0.7, top_p=0.9), None)
    assert make_sampler(settings, None) is not make_sampler(Settings(temperature=0.8, top_p=0.9), None)


def draws(settings: Settings, seed: int, count: int = 30) -> list[int]:
    sampler = make_sampler(settings, seed)
    return [sampler(logprobs(ROW)).item() for _ in range(count)]


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63, 2**64 - 1])
def test_a_seed_gives_the_same_draws_whatever_is_drawn_beside_it(seed: int) -> None:
    settings = Settings(temperature=1.5, xtc_probability=0.5, xtc_threshold=0.05)
    alone = draws(settings, seed)
    sampler, other = make_sampler(settings, seed), make_sampler(settings, None)
    beside = []
    for _ in range(30):
        other(logprobs(ROW, ROW))
        beside.append(sampler(logprobs(ROW)).item())
    assert beside == alone
    assert draws(settings, seed + 1 if seed < 2**63 else seed - 1) != alone


def test_filters_leave_only_what_they_say() -> None:
    assert set(draws(Settings(top_k=2), 1, 200)) == {1, 4}
    assert set(draws(Settings(min_p=0.8), 1, 200)) == {1, 4}
    # Above the threshold are 1 and 4 (27 and 24 percent); XTC drops all of them except the least likely.
    assert 1 not in draws(Settings(xtc_probability=1.0, xtc_threshold=0.2), 1, 200)


@pytest.mark.parametrize(
    "filters",
    [{"top_k": 12}, {"top_p": 0.8}, {"top_k": 12, "top_p": 0.8}, {"top_k": 30, "top_p": 0.9, "min_p": 0.1}],
    ids=str,
)
@pytest.mark.parametrize("precision", [mx.float32, mx.bfloat16], ids=["float32", "bfloat16"])
def test_filters_together_draw_as_often_as_the_probabilities_that_mlx_lm_leaves(
    filters: dict[str, Any], precision: mx.Dtype
) -> None:
    count, temperature = 20_000, 1.5
    given = logprobs([math.sin(place * 12.9898) * 3 for place in range(40)]).astype(precision)
    row = given.astype(mx.float32)
    row = row - mx.logsumexp(row, axis=-1, keepdims=True)
    left = row
    for name, apply in (("top_p", apply_top_p), ("min_p", apply_min_p), ("top_k", apply_top_k)):
        left = apply(left, filters[name]) if name in filters else left
    expected = np.array(mx.softmax(left / temperature, axis=-1))[0]

    drawn = make_sampler(Settings(temperature=temperature, **filters), 5)(mx.repeat(given, count, axis=0))

    often = np.bincount(np.array(drawn), minlength=40) / count
    assert set(np.flatnonzero(often)) == set(np.flatnonzero(expected))
    assert np.abs(often - expected).max() < 0.02


def test_presence_and_frequency_count_the_whole_answer_and_not_the_prompt() -> None:
    (processor,) = make_processors(SamplingParams(presence_penalty=1.0, frequency_penalty=0.5), {})
    zeros = mx.zeros((1, VOCABULARY))
    prompt = [3, 3, 3]
    assert processor(mx.array(prompt), zeros).tolist() == [[0.0] * VOCABULARY]
    fed = list(prompt)
    for token in [5, *[6] * 30]:
        fed.append(token)
        logits = processor(mx.array(fed), zeros)
    assert logits[0].tolist() == [0, 0, 0, 0, 0, -1.5, -16.0, 0]


def test_repetition_looks_at_the_last_tokens_of_prompt_and_answer() -> None:
    (processor,) = make_processors(SamplingParams(repetition_penalty=2.0, repetition_context_size=2), {})
    logits = processor(mx.array([0, 1, 2]), mx.array([[4.0, 4.0, -4.0, 4.0]]))
    assert logits.tolist() == [[4.0, 2.0, -8.0, 4.0]]


def test_the_models_own_repetition_penalty_applies_unless_the_request_sets_one() -> None:
    assert len(make_processors(SamplingParams(), {"repetition_penalty": 1.1})) == 1
    assert make_processors(SamplingParams(repetition_penalty=1.0), {"repetition_penalty": 1.1}) == []


def test_a_bias_can_force_a_token() -> None:
    (processor,) = make_processors(SamplingParams(logit_bias={7: 100.0}), {})
    assert mx.argmax(processor(mx.array([0]), mx.array([ROW])), axis=-1).item() == 7
