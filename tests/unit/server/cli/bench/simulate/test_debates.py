"""The simulated server and debates, in cases that can be computed by hand."""

from __future__ import annotations

import attrs
import pytest

from server.cli.bench.simulate.costs import BadCosts, Costs
from server.cli.bench.simulate.debates import Load, Outcome, fewest, simulate
from server.cli.bench.simulate.replica import Clock, Replica, Request

COSTS = Costs(decode=((1, 10), (4, 40)), prefill=((100, 1000), (200, 2000)), request_ms=0, gather_ms=0, slots=2)


def hold(costs: Costs, *requests: tuple[float, int, int]) -> list[tuple[float, float]]:
    """Send requests (second, new tokens, tokens of the answer) to one server. Returns their first and last tokens."""
    clock = Clock()
    server = Replica(clock, costs)
    times = [[0.0, 0.0] for _ in requests]

    def send(number: int, new: int, tokens: int) -> None:
        def note(which: int) -> None:
            times[number][which] = clock.now

        server.submit(Request(new, tokens, {1: lambda: note(0), tokens: lambda: note(1)}))

    for number, (at, new, tokens) in enumerate(requests):
        clock.after(at, lambda number=number, new=new, tokens=tokens: send(number, new, tokens))  # type: ignore[misc]
    clock.run()
    return [(round(first, 6), round(last, 6)) for first, last in times]


def test_one_request_takes_its_prompt_and_a_step_per_token() -> None:
    assert hold(COSTS, (0, 100, 11)) == [(1.0, 1.1)]


def test_requests_that_come_together_share_the_prompts_and_the_steps() -> None:
    # The first one's arrival starts the engine, after everything of the same moment.
    assert hold(COSTS, (0, 100, 11), (0, 100, 11)) == [(2.0, 2.2), (2.0, 2.2)]


def test_a_request_beyond_the_slots_waits_for_one() -> None:
    (_, first_end), _, (third, _) = hold(COSTS, (0, 100, 11), (0, 100, 11), (0, 100, 2))

    assert third == pytest.approx(first_end + 1.0)


def test_a_prompt_beside_an_answer_is_computed_in_chunks() -> None:
    # Each iteration is a step of 10 ms and a chunk of 100 ms: ten of them.
    ((first, _), (beside, _)) = hold(COSTS, (0, 100, 1000), (1.0, 100, 2))
    assert first == 1.0
    assert beside == pytest.approx(1.0 + 10 * 0.11, abs=0.02)

    half = attrs.evolve(COSTS, beside=0.5)
    assert hold(half, (0, 100, 1000), (1.0, 100, 2))[1][0] == pytest.approx(1.0 + 20 * 0.11, abs=0.02)


def test_requests_reach_the_engine_one_after_the_other() -> None:
    costs = attrs.evolve(COSTS, request_ms=500, slots=1)

    assert hold(costs, (0, 100, 2), (0, 100, 2))[0][0] == pytest.approx(1.5)


def test_an_idle_engine_waits_for_more_after_requests_overlapped() -> None:
    costs = attrs.evolve(COSTS, gather_ms=20)

    assert hold(costs, (0, 100, 2), (0.5, 100, 2), (10, 100, 2), (20, 100, 2))[2:] == [(11.02, 11.03), (21.0, 21.01)]


def test_twice_the_servers_answer_sooner_and_a_seed_repeats_the_run() -> None:
    load = Load(debates=12, turns=4, words=20, brief_tokens=50, pace=0)
    one, two = simulate(load, COSTS, 1), simulate(load, COSTS, 2)

    assert two.first_token_p95 < one.first_token_p95
    assert two.tokens_per_second > one.tokens_per_second
    assert simulate(load, COSTS, 2).tokens_per_second == two.tokens_per_second
    assert simulate(attrs.evolve(load, seed=1), COSTS, 2).tokens_per_second != two.tokens_per_second
    assert 0 < two.utilisation <= 1


def test_a_turn_that_finds_no_prefix_computes_its_whole_prompt() -> None:
    load = Load(debates=1, turns=8, words=20, brief_tokens=300)
    found, lost = (simulate(attrs.evolve(load, cached=share), COSTS, 1) for share in (1.0, 0.0))

    assert found.first_token_p50 <= 0.5 < 3 < lost.first_token_p50


def test_spoken_turns_wait_for_the_voice() -> None:
    load = Load(debates=1, turns=2, words=30, brief_tokens=100, spoken=True)
    costs = attrs.evolve(COSTS, speech=0.5)
    outcome = simulate(load, costs, 1)

    # The prompt, seven steps to the sixth word, and two seconds of sound at half a second each.
    assert outcome.first_sound_p50 == pytest.approx(outcome.first_token_p50 + 0.07 + 1.0, abs=0.2)
    assert outcome.stalled == 0
    assert simulate(load, attrs.evolve(costs, speech=1.5), 1).stalled == 1
    with pytest.raises(BadCosts, match="--speech-factor"):
        simulate(load, COSTS, 1)


@pytest.mark.parametrize(
    ("needed", "most", "answer"), [(1, 64, 1), (5, 64, 5), (8, 64, 8), (50, 60, 50), (65, 64, None)]
)
def test_the_least_number_of_replicas_is_found(needed: int, most: int, answer: int | None) -> None:
    def run(replicas: int) -> Outcome:
        return attrs.evolve(simulate(Load(debates=1, turns=1), COSTS, 1), replicas=replicas)

    tried = [outcome.replicas for outcome in fewest(most, lambda outcome: outcome.replicas >= needed, run)]

    assert min((count for count in tried if count >= needed), default=None) == answer
    assert len(tried) == len(set(tried)) <= 14
