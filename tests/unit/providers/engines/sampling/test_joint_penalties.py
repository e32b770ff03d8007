"""Penalties of a batch whose rows are processed together."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from providers.engines.sampling.penalties import (
    Bias,
    CountPenalty,
    HostPenalties,
    JointPenalties,
    RepetitionPenalty,
    joins,
)
from providers.engines.sampling.settings import make_processors
from tests.unit.providers.engines.sampling.plans import (
    ROWS,
    VOCABULARY,
    random_logits,
)


@pytest.mark.parametrize("precision", [mx.float32, mx.bfloat16], ids=["float32", "bfloat16"])
def test_penalties_of_many_rows_are_those_of_each(precision: mx.Dtype) -> None:
    """Also where numpy applies them to each row."""
    chains = [[make_processors(params, {}) for params in ROWS.values()] for _ in range(3)]
    rng = np.random.default_rng(0)
    tokens = [rng.integers(0, VOCABULARY, 1 + row).tolist() for row in range(len(ROWS))]
    for row, each in enumerate(zip(*chains, strict=True)):
        for chain in each:  # the prompt's own step is never a joint one
            for processor in chain:
                processor(mx.array(tokens[row]), random_logits(1, 0))
    joined = [joins(chain) for chain in chains[1]]
    assert joined == [name != "long memory" for name in ROWS]
    joint = JointPenalties([chain if each else () for chain, each in zip(chains[1], joined, strict=True)], tokens)
    hosts = [HostPenalties(chain if joined[row] else (), tokens[row]) for row, chain in enumerate(chains[2])]
    for step in range(1, 12):
        fed = rng.integers(0, 20, len(ROWS)).tolist()
        logits = random_logits(len(ROWS), step).astype(precision)
        expected = []
        for row, chain in enumerate(chains[0]):
            line = logits[row : row + 1]
            for processor in chain if joined[row] else ():
                line = processor(mx.array([*tokens[row], fed[row]]), line)
            expected.append(np.array(line.astype(mx.float32)))
        found = joint(mx.array(fed), logits)
        assert found.dtype == precision
        assert np.allclose(np.array(found.astype(mx.float32)), np.concatenate(expected), rtol=1e-6, atol=1e-6)
        for row, host in enumerate(hosts):
            line = host(fed[row], np.array(logits[row].astype(mx.float32)))
            tolerance = 1e-6 if precision == mx.float32 else 0.05
            assert np.allclose(line, expected[row][0], rtol=tolerance, atol=tolerance)
        for known, token in zip(tokens, fed, strict=True):
            known.append(token)
    joint.release()
    for host in hosts:
        host.release()
    for some in chains[1:]:
        counted = [one for chain in some for one in chain if hasattr(one, "counts")]
        assert [one.counts.sum().item() for one in counted] == [11.0] * len(counted)


def test_the_prompts_last_token_is_not_counted_where_the_first_step_is_a_joint_one() -> None:
    new, replayed, older = (CountPenalty(presence=0.0, frequency=1.0) for _ in range(3))
    replayed.replay([1])
    older(mx.array([0]), mx.zeros((1, 3)))
    joint = JointPenalties([[new], [replayed], [older]], [[0], [0], [0]])
    first = joint(mx.array([2, 2, 2]), mx.zeros((3, 3))).tolist()
    assert first == [[0.0, 0.0, 0.0], [0.0, -1.0, -1.0], [0.0, 0.0, -1.0]]
    second = joint(mx.array([2, 2, 2]), mx.zeros((3, 3))).tolist()
    assert second == [[0.0, 0.0, -1.0], [0.0, -1.0, -2.0], [0.0, 0.0, -2.0]]

    host = HostPenalties([CountPenalty(presence=0.0, frequency=1.0)], [0])
    assert [host(2, np.zeros(3, dtype=np.float32)).tolist() for _ in range(2)] == [[0.0, 0.0, 0.0], [0.0, 0.0, -1.0]]


def test_chains_join_in_the_order_of_penalties_counts_and_bias() -> None:
    penalty, count, bias = RepetitionPenalty(1.5, 5), CountPenalty(1.0, 0.0), Bias({1: 2.0})
    for chain in ([], [penalty], [count], [bias], [penalty, count], [penalty, bias], [penalty, count, bias]):
        assert joins(chain)
    for chain in ([count, penalty], [bias, count], [bias, penalty], [bias, bias], [penalty, count, count]):
        assert not joins(chain)
    assert not joins([penalty, lambda tokens, logits: logits])
    assert joins([RepetitionPenalty(1.5, 256)])
    assert not joins([RepetitionPenalty(1.5, 257)])


def test_a_repetition_penalty_of_one_token_sees_only_the_one_that_is_fed() -> None:
    chains = [[RepetitionPenalty(2.0, 1)], [RepetitionPenalty(4.0, 3)], [RepetitionPenalty(2.0, 2)]]
    joint = JointPenalties(chains, [[5, 6], [1, 2, 3], [8, 0]])
    logits = mx.array([[4.0] * 4 + [-4.0] + [4.0] * 4] * 3)
    assert joint(mx.array([4, 4, 4]), logits).tolist() == [
        [4.0, 4.0, 4.0, 4.0, -8.0, 4.0, 4.0, 4.0, 4.0],
        [4.0, 4.0, 1.0, 1.0, -16.0, 4.0, 4.0, 4.0, 4.0],
        [2.0, 4.0, 4.0, 4.0, -8.0, 4.0, 4.0, 4.0, 4.0],
    ]


def test_rows_without_processors_stay_as_they_are_and_counts_go_back_to_their_rows() -> None:
    counted = CountPenalty(presence=1.0, frequency=0.5)
    counted(mx.array([2]), mx.zeros((1, 3)))
    joint = JointPenalties([[], [counted, Bias({0: 3.0})]], [[1], [2]])
    assert len(joint.state) == 0
    for expected in ([3.0, 0.0, -1.5], [3.0, 0.0, -2.0]):
        found = joint(mx.array([2, 2]), mx.zeros((2, 3)))
        assert found.tolist() == [[0.0, 0.0, 0.0], expected]
    assert len(joint.state) == 1
    joint.release()
    assert counted.counts is not None
    assert counted.counts.tolist() == [[0.0, 0.0, 2.0]]


def test_pictures_in_a_prompt_have_no_logits_to_penalise() -> None:
    logits, context = [[1.0, 2.0, 3.0, 4.0]], [-1, -70_000, 2]

    alone = RepetitionPenalty(2.0, 3)(mx.array([*context, 1]), mx.array(logits))
    joint = JointPenalties([[RepetitionPenalty(2.0, 4)]], [context])(mx.array([1]), mx.array(logits))

    assert alone.tolist() == [[1.0, 1.0, 1.5, 4.0]]
    assert joint.tolist() == alone.tolist()
