"""A plan of a batch: whose processors and samplers it calls, for which rows, and when."""

from __future__ import annotations

from typing import Any, cast

import mlx.core as mx
import pytest
from mlx_lm.models import dbrx, llama

from providers.engines.sampling.batched_step import DecodingBatch
from providers.engines.sampling.host_plan import reads_values
from providers.engines.sampling.logprobs import LogprobRecorder
from providers.engines.sampling.penalties import (
    Bias,
    CountPenalty,
    RepetitionPenalty,
)
from providers.engines.sampling.samplers import make_sampler
from providers.engines.sampling.settings import Settings
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.sampling.plans import (
    VOCABULARY,
    Batch,
    add_where_fed,
    made_plan,
    random_logits,
    tokens_of,
)


def test_each_row_gets_its_own_processors_once() -> None:
    own: Any = lambda logits: logits  # noqa: E731
    chains = [[add_where_fed, Bias({0: 2.0})], [Bias({1: 4.0})], None, [RepetitionPenalty(2.0, 257)]]
    batch, plan = made_plan(chains, [own] * 4)
    found = plan(mx.array([2, 2, 2, 2]), mx.array([[8.0] * 3] * 4))
    assert found.tolist() == [[10.0, 8.0, 9.0], [8.0, 12.0, 8.0], [8.0, 8.0, 8.0], [8.0, 4.0, 4.0]]
    assert [each.tolist() for each in plan.state] == [[1, 2], [1, 2]], "of the first and the last row"
    plan.release()
    assert batch.renewed == [1], "the only one whose tokens were not followed one by one"


def test_rows_whose_processors_are_all_of_another_library_are_processed_one_by_one() -> None:
    own: Any = lambda logits: logits  # noqa: E731
    _, plan = made_plan([[add_where_fed], [add_where_fed]], [own] * 2)
    assert plan(mx.array([0, 1]), mx.zeros((2, 2))).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_a_row_without_processors_is_not_followed() -> None:
    batch, plan = made_plan([None], [None])
    assert plan(mx.array([2]), mx.array([[1.0, 3.0, 2.0]])).tolist() == [1]
    assert (plan.state, batch.contexts[0].tokens) == ([], [1])


def test_rows_with_the_same_sampler_are_sampled_in_one_call() -> None:
    calls = []

    def sampler(logits: mx.array) -> mx.array:
        calls.append(logits.shape)
        return mx.argmin(logits, axis=-1)

    _, plan = made_plan([None] * 3, [sampler] * 3)
    assert plan(mx.array([0, 0, 0]), mx.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])).tolist() == [1, 0, 1]
    assert calls == [(3, 2)]

    _, plan = made_plan([None] * 3, [sampler, None, sampler])
    assert plan(mx.array([0, 0, 0]), mx.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])).tolist() == [1, 1, 1]
    assert calls[1:] == [(1, 2), (1, 2)]


def test_a_seed_goes_on_from_where_the_batch_left_it(drawing: str) -> None:
    settings = Settings(temperature=1.5)
    alone = make_sampler(settings, 3)
    expected = [alone(random_logits(1, step)).item() for step in range(6)]

    seeded = make_sampler(settings, 3)
    _, plan = made_plan([None] * 2, [None, seeded])
    found = []
    for step in range(3):
        logits = mx.repeat(random_logits(1, step), 2, axis=0)
        found.append(tokens_of(plan, mx.array([0, 0]), logits)[1])
    plan.release()
    assert [*found, *(seeded(random_logits(1, step)).item() for step in range(3, 6))] == expected


def test_a_step_is_built_before_the_tokens_of_the_one_before_are_drawn() -> None:
    """numpy draws them when the next step is built, or when they are wanted."""
    rows = [make_sampler(Settings(temperature=0.5), 1), make_sampler(Settings(top_k=2), 2)]
    _, plan = made_plan([None] * 2, rows)
    sure = mx.array([[0.0, 99.0, 0.0], [99.0, 0.0, 0.0]])
    first = plan(mx.array([2, 2]), sure)
    embedded = mx.array([10.0, 20.0, 30.0])[first]
    assert first.tolist() == [0, 0], "not drawn yet"
    second = plan(first, sure[::-1])
    assert (first.tolist(), embedded.tolist()) == ([1, 0], [20.0, 10.0])
    plan.settle()
    assert second.tolist() == [0, 1]


def test_a_model_that_reads_values_while_its_graph_is_built_finds_the_tokens_drawn() -> None:
    batch = Batch([None] * 2, [make_sampler(Settings(temperature=0.5), 1)] * 2)
    batch.reads_values = True
    plan = DecodingBatch.make_plan(cast("DecodingBatch", batch))
    assert plan(mx.array([2, 2]), mx.array([[0.0, 99.0, 0.0], [99.0, 0.0, 0.0]])).tolist() == [1, 0]
    arguments = dbrx.ModelArgs(
        model_type="dbrx",
        vocab_size=9,
        d_model=8,
        n_layers=1,
        n_heads=2,
        attn_config={"kv_n_heads": 1, "clip_qkv": 8, "rope_theta": 1e4},
        ffn_config={"ffn_hidden_size": 8, "moe_num_experts": 2, "moe_top_k": 1},
    )
    assert reads_values(dbrx.Model(arguments))
    assert not reads_values(llama.Model(llama.ModelArgs.from_dict(tiny.config())))


class Letters:
    """A vocabulary whose tokens are letters."""

    def piece(self, token: int) -> tuple[str, bytes]:
        letter = chr(0x100 + token)
        return letter, letter.encode()


def test_log_probabilities_of_a_batch_are_those_of_each_row(drawing: str) -> None:
    """Of the model's own logits: before penalties, and beside rows that are processed one by one."""
    vocabulary: Any = Letters()
    tops = (None, 0, 3, 20)
    told: list[list[Any]] = []
    for together in (False, True):
        counted = [CountPenalty(presence=0.5, frequency=1.0) for _ in tops]
        drawn = [make_sampler(Settings(temperature=0.7, top_k=9), seed) for seed in range(len(tops))]
        recorders = [LogprobRecorder(one, vocabulary, top or 0) for one, top in zip(drawn, tops, strict=True)]
        chains: list[Any] = [[one] for one in counted]
        for row, recorder in enumerate(recorders):
            chains[row] = [recorder.note_logits, *chains[row], *([add_where_fed] if row == 3 else [])]
        for one in counted:
            one(mx.array([1]), mx.zeros((1, VOCABULARY)))
        answers: list[Any] = []
        _, plan = made_plan([chains[0][1:], *chains[1:]], [drawn[0], *recorders[1:]])
        for step in range(4):
            logits, fed = random_logits(len(tops), step), [5 + step] * len(tops)
            if together:
                tokens = tokens_of(plan, mx.array(fed), logits)
            else:
                tokens = [one_by_one(chains[row], recorders[row], logits[row : row + 1], fed[row]) for row in range(4)]
            answers.append([recorder.take(token) for recorder, token in zip(recorders[1:], tokens[1:], strict=True)])
        told.append(answers)
    for alone, joint in zip(*told, strict=True):
        for one, other in zip(alone, joint, strict=True):
            assert (one.token, [piece[0] for piece in one.top]) == (other.token, [piece[0] for piece in other.top])
            assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
            assert [each[2] for each in one.top] == pytest.approx([each[2] for each in other.top], abs=1e-4)


def one_by_one(chain: list[Any], sampler: Any, logits: mx.array, fed: int) -> int:
    for processor in chain:
        logits = processor(mx.array([fed]), logits)
    return int(sampler(logits).item())
