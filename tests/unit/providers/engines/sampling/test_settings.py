"""Sampling settings, seeds and penalties, on small arrays."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.sample_utils import apply_min_p, apply_top_k, apply_top_p, apply_xtc

from providers.chat.types import SamplingParams
from providers.engines.sampling.penalties import Bias, CountPenalty, RepetitionPenalty
from providers.engines.sampling.samplers import draws_ahead, make_sampler
from providers.engines.sampling.settings import (
    MAX_BIASES,
    Settings,
    make_processors,
    resolve,
    with_defaults,
)
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


BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "top_k": (-1, 2**31),
    "min_p": (0.0, 1.0),
    "xtc_probability": (0.0, 1.0),
    "xtc_threshold": (0.0, 0.5),
    "presence_penalty": (-100.0, 100.0),
    "frequency_penalty": (-100.0, 100.0),
    "repetition_penalty": (0.0, 100.0),
    "repetition_context_size": (1, 2**31),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_the_bounds_of_a_value_are_named_and_belong_to_it(name: str) -> None:
    low, high = BOUNDS[name]
    for inside in (low, high) if name != "repetition_penalty" else (1e-6, high):
        resolve(SamplingParams(**{name: inside}), {}, vocabulary=VOCABULARY)
    step = 1 if isinstance(low, int) else 1e-6
    for outside in (low - step, high + step):
        with pytest.raises(InvalidRequest) as refused:
            resolve(SamplingParams(**{name: outside}), {}, vocabulary=VOCABULARY)
        assert (refused.value.message, refused.value.param) == (
            f"{name} must be between {low} and {high}, not {outside}",
            name,
        )


def refusal(**params: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        resolve(SamplingParams(**params), {}, vocabulary=VOCABULARY)
    assert refused.value.param in params
    return refused.value.message


def test_a_refusal_of_a_penalty_or_bias_says_what_is_allowed() -> None:
    assert refusal(repetition_penalty=0.0) == "repetition_penalty must be greater than 0"
    assert refusal(logit_bias={8: 1.0}) == "logit_bias: token id 8 is not in this model's vocabulary (0 to 7)"
    assert refusal(logit_bias={7: -100.5}) == "logit_bias: -100.5 is not between -100 and 100"
    resolve(SamplingParams(logit_bias={0: -100.0, 7: 100.0}), {}, vocabulary=VOCABULARY)


def test_as_many_biases_are_accepted_as_the_refusal_says() -> None:
    most = dict.fromkeys(range(MAX_BIASES), 1.0)
    resolve(SamplingParams(logit_bias=most), {}, vocabulary=MAX_BIASES + 1)
    with pytest.raises(InvalidRequest, match="logit_bias has more than 4096 entries") as refused:
        resolve(SamplingParams(logit_bias={**most, MAX_BIASES: 1.0}), {}, vocabulary=MAX_BIASES + 1)
    assert refused.value.param == "logit_bias"


@pytest.mark.parametrize(
    ("given", "used"), [(-1, 0), (0, 0), (1, 1), (VOCABULARY - 1, VOCABULARY - 1), (VOCABULARY, 0)]
)
def test_a_top_k_that_keeps_every_token_filters_nothing(given: int, used: int) -> None:
    assert resolve(SamplingParams(top_k=given), {}, vocabulary=VOCABULARY).top_k == used
    assert resolve(SamplingParams(), {"top_k": given}, vocabulary=VOCABULARY).top_k == used


def test_every_value_of_the_models_generation_config_counts() -> None:
    model = {"temperature": 0.25, "top_p": 0.75, "top_k": 3, "min_p": 0.125}
    assert resolve(SamplingParams(), model, vocabulary=VOCABULARY) == Settings(**model)
    assert resolve(SamplingParams(), {**model, "do_sample": True}, vocabulary=VOCABULARY).temperature == 0.25
    assert resolve(SamplingParams(), {**model, "do_sample": False}, vocabulary=VOCABULARY).temperature == 0.0
    assert resolve(SamplingParams(temperature=0.5), {"do_sample": False}, vocabulary=VOCABULARY).temperature == 0.5


def test_every_value_of_the_request_counts() -> None:
    wanted = SamplingParams(temperature=0.5, top_p=0.6, top_k=4, min_p=0.2, xtc_probability=0.3, xtc_threshold=0.4)
    assert resolve(wanted, {"top_p": 0.1, "min_p": 0.9}, vocabulary=VOCABULARY) == Settings(
        temperature=0.5, top_p=0.6, top_k=4, min_p=0.2, xtc_probability=0.3, xtc_threshold=0.4
    )
    silent = resolve(SamplingParams(), {}, vocabulary=VOCABULARY)
    assert (silent.xtc_probability, silent.xtc_threshold, silent.min_p) == (0.0, 0.1, 0.0)


def test_the_servers_options_fill_in_what_a_request_leaves_open() -> None:
    options = SamplingParams(temperature=0.5, top_k=7, seed=1)
    assert with_defaults(SamplingParams(top_k=0), options) == SamplingParams(temperature=0.5, top_k=0, seed=1)
    request = SamplingParams(top_p=0.5)
    assert with_defaults(request, SamplingParams(top_p=0.1)) is request


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


@pytest.mark.parametrize("probability", [0.5, 1.0])
@pytest.mark.parametrize(
    "filters",
    [{}, {"top_k": 9}, {"top_p": 0.9}, {"min_p": 0.05}, {"top_k": 9, "top_p": 0.95, "min_p": 0.02}],
    ids=str,
)
def test_xtc_draws_as_often_as_the_probabilities_that_mlx_lm_leaves(
    probability: float, filters: dict[str, Any]
) -> None:
    count, temperature, threshold = 20_000, 1.5, 0.08
    row = logprobs([math.sin(place * 12.9898) * 3 for place in range(40)])
    left = row
    for name, apply in (("top_p", apply_top_p), ("min_p", apply_min_p)):
        left = apply(left, filters[name]) if name in filters else left
    expected = np.zeros(40)
    for share, excluded in ((probability, 1.0), (1 - probability, 0.0)):
        kept = apply_xtc(left, excluded, threshold, [])
        kept = apply_top_k(kept, filters["top_k"]) if "top_k" in filters else kept
        expected += share * np.array(mx.softmax(kept / temperature, axis=-1))[0]

    settings = Settings(temperature=temperature, xtc_probability=probability, xtc_threshold=threshold, **filters)
    drawn = make_sampler(settings, 5)(mx.repeat(row, count, axis=0))

    often = np.bincount(np.array(drawn), minlength=40) / count
    assert set(np.flatnonzero(often)) <= set(np.flatnonzero(expected))
    assert np.abs(often - expected).max() < 0.02


def test_xtc_without_top_p_keeps_the_least_likely_token() -> None:
    drawn = make_sampler(Settings(temperature=10.0, xtc_probability=0.5), 1)(mx.array([[0.0, -20.0]] * 200))
    assert set(np.array(drawn).tolist()) == {0, 1}


@pytest.mark.parametrize(
    "settings", [Settings(temperature=1.5), Settings(temperature=1.5, xtc_probability=0.5)], ids=str
)
def test_draws_that_are_skipped_or_taken_ahead_are_those_of_one_by_one(settings: Settings) -> None:
    expected = draws(settings, 3, 10)

    skipping = make_sampler(settings, 3, drawn=4)
    assert [skipping(logprobs(ROW)).item() for _ in range(6)] == expected[4:]

    taking = make_sampler(settings, 3)
    ahead = draws_ahead(taking)
    assert ahead is not None
    assert ahead.draw(logprobs(*[ROW] * 6)).tolist() == expected[:6]
    ahead.keep(2)
    assert [taking(logprobs(ROW)).item() for _ in range(4)] == expected[2:6]


def test_greedy_tokens_can_be_taken_ahead_and_those_of_an_unknown_sampler_cannot() -> None:
    greedy = make_sampler(Settings(temperature=0.0), 1)
    ahead = draws_ahead(greedy)
    assert ahead is not None
    assert ahead.draw(logprobs(ROW, ROW[::-1])).tolist() == [1, 6]
    ahead.keep(1)
    assert draws_ahead(lambda logits: mx.argmax(logits, axis=-1)) is None


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


def test_repetition_passes_over_the_negative_ids_of_pictures() -> None:
    (processor,) = make_processors(SamplingParams(repetition_penalty=2.0, repetition_context_size=3), {})
    logits = processor(mx.array([0, -5, 2]), mx.array([[4.0, 4.0, -4.0, 4.0]]))
    assert logits.tolist() == [[2.0, 4.0, -8.0, 4.0]]


def test_the_models_own_repetition_penalty_applies_unless_the_request_sets_one() -> None:
    assert len(make_processors(SamplingParams(), {"repetition_penalty": 1.1})) == 1
    assert make_processors(SamplingParams(repetition_penalty=1.0), {"repetition_penalty": 1.1}) == []


def test_a_bias_can_force_a_token() -> None:
    (processor,) = make_processors(SamplingParams(logit_bias={7: 100.0}), {})
    assert mx.argmax(processor(mx.array([0]), mx.array([ROW])), axis=-1).item() == 7


def test_a_chain_has_a_processor_for_each_option_that_changes_something() -> None:
    everything = SamplingParams(
        repetition_penalty=1.5,
        repetition_context_size=7,
        presence_penalty=0.5,
        frequency_penalty=-0.25,
        logit_bias={1: 2.0},
    )
    repetition, counts, bias = make_processors(everything, {"repetition_penalty": 1.1})
    assert isinstance(repetition, RepetitionPenalty)
    assert (repetition.penalty, repetition.size) == (1.5, 7)
    assert isinstance(counts, CountPenalty)
    assert (counts.presence, counts.frequency) == (0.5, -0.25)
    assert isinstance(bias, Bias)
    assert (bias.ids.tolist(), bias.values.tolist()) == ([1], [2.0])

    (repetition,) = make_processors(SamplingParams(repetition_penalty=0.5), {})
    assert isinstance(repetition, RepetitionPenalty)
    assert repetition.penalty == 0.5

    neutral = SamplingParams(repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0, logit_bias={})
    assert make_processors(neutral, {}) == []
    assert make_processors(SamplingParams(), {"repetition_penalty": 0.0}) == []

    for one, fields in (("presence_penalty", (0.5, 0.0)), ("frequency_penalty", (0.0, 0.5))):
        (counts,) = make_processors(SamplingParams(**{one: 0.5}), {})
        assert isinstance(counts, CountPenalty)
        assert (counts.presence, counts.frequency) == fields
    (repetition,) = make_processors(SamplingParams(), {"repetition_penalty": 1.25})
    assert isinstance(repetition, RepetitionPenalty)
    assert (repetition.penalty, repetition.size) == (1.25, 20)


def test_a_replayed_answer_is_counted_before_the_token_after_it() -> None:
    zeros = mx.zeros((1, VOCABULARY))
    (fresh,) = make_processors(SamplingParams(presence_penalty=1.0, frequency_penalty=0.5), {})
    (moved,) = make_processors(SamplingParams(presence_penalty=1.0, frequency_penalty=0.5), {})
    assert isinstance(moved, CountPenalty)
    for length in range(3, 7):
        expected = fresh(mx.array([3, 3, 3, 5, 6, 6][:length]), zeros)
    moved.replay([5, 6])
    assert moved(mx.array([3, 3, 3, 5, 6, 6]), zeros).tolist() == expected.tolist()
