"""The decision whether proposals make a batch faster, with a clock of the test's."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from providers.engines.language.speculation.making import worth_of_one
from providers.engines.language.speculation.worth import MOST_FED, Always, Measured

SURE, DOUBTFUL = 0.95, 0.1


class Device:
    """Steps of one second, and passes that take `extra` seconds per proposed token of a sequence.

    A step of fewer than eight sequences takes `less` seconds less for each.
    """

    def __init__(self, extra: float, less: float = 0.0, cost: float | None = None) -> None:
        self.extra, self.less = extra, less
        self.now = 0.0
        self.worth = Measured(clock=lambda: self.now, cost=cost)
        self.passes: list[int] = []

    def step(self, sequences: int, chances: Sequence[tuple[int, float]]) -> None:
        self.worth.begin(sequences)
        width = self.worth.width(sequences, chances)
        seconds = 1.0 - (8 - sequences) * self.less
        if width:
            seconds += self.extra * width
            self.worth.verified(sequences, width, seconds)
        else:
            self.worth.plain(sequences)
        self.passes.append(width)
        self.now += seconds

    def run(self, sequences: int, chances: Sequence[tuple[int, float]], steps: int) -> list[int]:
        self.passes.clear()
        for _ in range(steps):
            self.step(sequences, chances)
        return self.passes


def test_the_usual_step_is_measured_before_anything_is_proposed() -> None:
    passes = Device(0.0).run(4, [(8, SURE)] * 4, 8)
    assert passes[:2] == [0, 0]
    assert all(passes[2:])


def test_a_pass_that_costs_nothing_is_worth_one_text_that_repeats_itself() -> None:
    assert Device(0.0).run(8, [(8, SURE)], 200)[-50:] == [8] * 50


def test_many_tokens_are_tried_only_where_few_were_cheap() -> None:
    dear, cheap = Device(1.0), Device(0.01)
    assert 0 < max(dear.run(8, [(16, 0.3)] * 8, 60)) < 4
    assert max(cheap.run(8, [(16, SURE)] * 8, 60)) == 16


def test_a_pass_that_costs_more_than_it_gives_is_tried_a_few_times_only() -> None:
    passes = Device(2.0).run(8, [(8, SURE)], 300)
    assert 0 < sum(width > 0 for width in passes) < 20


def test_answers_without_proposals_are_not_kept_from_their_end() -> None:
    dear = Device(0.25, less=0.04)
    dear.run(4, [], 10)
    # A pass gives 3.1 times the tokens in 3 times the time. The other answers need 1.07 times the time.
    assert sum(width > 0 for width in dear.run(8, [(8, SURE)] * 4, 300)) < 15
    assert all(dear.run(8, [(8, SURE)] * 8, 50)[-20:])


def test_what_is_known_to_delay_answers_without_proposals_is_not_tried() -> None:
    dear = Device(0.25, less=0.04, cost=0.03)
    dear.run(4, [], 10)
    assert not any(dear.run(8, [(8, SURE)] * 4, 50))
    assert all(dear.run(8, [(8, SURE)] * 8, 50)[-20:])


def test_a_step_that_was_interrupted_does_not_make_passes_look_cheap() -> None:
    dear = Device(0.25, less=0.04, cost=0.03)
    dear.run(4, [], 10)
    dear.run(8, [(8, SURE)] * 8, 20)
    dear.run(8, [], 10)
    dear.now += 10.0
    assert not any(dear.run(8, [(8, SURE)] * 4, 5))


def test_answers_without_proposals_wait_for_others_whose_end_makes_their_steps_fast() -> None:
    alone_is_fast = Device(0.25, less=0.1)
    alone_is_fast.run(1, [], 10)
    assert all(alone_is_fast.run(8, [(8, SURE)] * 7, 50)[-20:])


def test_fewer_tokens_are_proposed_where_more_cost_too_much() -> None:
    passes = Device(0.25).run(4, [(16, 0.6)] * 4, 200)[-100:]
    assert max(passes) in (1, 2)
    assert sum(width > 0 for width in passes) > 90


def test_what_is_rarely_accepted_is_not_proposed() -> None:
    assert not any(Device(0.02).run(8, [(8, DOUBTFUL)] * 2, 100))


def test_the_usual_step_is_measured_again_after_many_passes() -> None:
    device = Device(0.0)
    passes = device.run(2, [(4, SURE)] * 2, 1000)
    assert 3 < passes.count(0) < 20


def test_a_pass_that_was_slow_once_is_tried_again() -> None:
    device = Device(2.0)
    device.run(4, [(4, SURE)] * 4, 100)
    assert not any(device.run(4, [(4, SURE)] * 4, 20))
    device.extra = 0.0
    assert any(device.run(4, [(4, SURE)] * 4, 2000))


def test_each_number_of_sequences_is_measured() -> None:
    device = Device(0.0)
    device.run(4, [(4, SURE)] * 4, 10)
    assert device.run(3, [(4, SURE)] * 3, 6)[:2] == [0, 0]


def test_steps_that_also_compute_prompts_are_not_measured() -> None:
    device = Device(0.0)
    for _ in range(5):
        device.step(4, [(4, SURE)] * 4)
        device.worth.pause()
        device.now += 100.0
    assert not any(device.passes)


def test_a_pass_feeds_a_bounded_number_of_tokens() -> None:
    sequences = MOST_FED // 8
    assert Always().width(sequences, [(100, SURE)]) == 7
    assert max(Device(0.0).run(sequences, [(100, SURE)] * sequences, 20)) == 7


def test_a_single_sequence_is_measured_only_where_its_steps_cost_less_than_passes() -> None:
    assert isinstance(worth_of_one(SimpleNamespace(computes_rows_in_call=True)), Measured)
    assert isinstance(worth_of_one(SimpleNamespace()), Always)
