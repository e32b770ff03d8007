"""Prompts take only the time that sequences waiting for a token can spare."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from providers.chat.types import SamplingParams
from providers.engines.language.prefill.budget import MIN_TOKENS, PREFILL_STEP, STEPS, UNNOTICED, PrefillPace
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.inprocess import SteppedEngine

FITTING = int(20 * STEPS)
"""The most tokens of a prompt in a chunk of `engine`."""
NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})


def learned(step: float, token: float, **options: Any) -> PrefillPace:
    """A pace that knows the seconds of a step and of a prompt token."""
    pace = PrefillPace(**options)
    pace.learn(step, sequences=1, tokens=0)
    pace.learn(step + 100 * token, sequences=1, tokens=100)
    return pace


def test_a_chunk_takes_no_longer_than_a_few_steps_of_answers() -> None:
    assert learned(step=0.2, token=0.01).budget() == pytest.approx(20 * STEPS)
    assert learned(step=0.2, token=0.001).budget() == pytest.approx(200 * STEPS)


def test_the_budget_uses_the_time_that_no_client_notices() -> None:
    assert learned(step=0.001, token=0.001).budget() == pytest.approx(UNNOTICED / 0.001)


def test_a_prompt_always_gets_on() -> None:
    assert learned(step=0.01, token=1.0).budget() == MIN_TOKENS


def test_a_chunk_that_costs_more_than_its_tokens_settles() -> None:
    pace = learned(step=0.2, token=0.01)
    for _ in range(20):
        chunk = pace.budget()
        pace.learn(0.2 + 0.1 + 0.002 * chunk, sequences=1, tokens=round(chunk))
    assert 0.1 + 0.002 * pace.budget() == pytest.approx(0.2 * STEPS, rel=0.05)


def test_prompts_are_whole_until_the_first_answers_of_a_burst_have_an_age() -> None:
    now = 100.0
    pace = learned(step=1.0, token=0.01, burst=1.5, clock=lambda: now)
    pace.note(awaited=True)
    now += 1.4
    pace.note(awaited=True)
    assert pace.budget() == math.inf
    now += 0.2
    pace.note(awaited=True)
    assert pace.budget() == pytest.approx(100 * STEPS)
    pace.note(awaited=False)
    pace.note(awaited=True)
    assert pace.budget() == math.inf


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SteppedEngine:
    monkeypatch.setitem(PREFILL_STEP, "cpu", 128)
    engine = SteppedEngine(tiny.write_folder(tmp_path / "tiny", max_position_embeddings=4096), prefix_cache_bytes=0)
    # A device on which a token of a prompt takes as long as a generated one.
    engine.engine._batch._pace = learned(step=1.0, token=1 / 20)
    monkeypatch.setattr(PrefillPace, "learn", lambda self, seconds, sequences, tokens: None)
    return engine


def steps_until_first_token(engine: SteppedEngine, id: str) -> int:
    steps = 0
    while not engine.answers[id].deltas:
        engine.step()
        steps += 1
    return steps


def test_without_streams_a_prompt_is_computed_in_full_chunks(engine: SteppedEngine) -> None:
    engine.submit("long", "x" * 512, sampling=NO_END, max_tokens=2)
    assert steps_until_first_token(engine, "long") <= 512 // 128 + 3


@pytest.mark.parametrize(("length", "steps"), [(9, (1, 1, 1, 2)), (13, (1, 1, 2, 2)), (20, (1, 2, 3, 4))])
def test_short_prompts_are_computed_to_their_ends_as_many_as_fit(
    engine: SteppedEngine, length: int, steps: tuple[int, ...]
) -> None:
    """Pieces of all of them would come to their ends together, with the last."""
    engine.submit("stream", "go on", sampling=NO_END, max_tokens=200)
    steps_until_first_token(engine, "stream")
    ids = [f"short {number}" for number in range(len(steps))]
    for id in ids:
        engine.submit(id, "x" * length, sampling=NO_END, max_tokens=50)
    found: dict[str, int] = {}
    for step in range(10):
        engine.step()
        found |= {id: step for id in ids if engine.answers[id].deltas and id not in found}
    assert tuple(found[id] for id in ids) == steps


@pytest.mark.parametrize("burst", [1.5, 0.0])
def test_the_rest_of_a_burst_is_computed_in_one_step(engine: SteppedEngine, burst: float) -> None:
    pace = engine.engine._batch._pace
    pace._burst, pace._clock = burst, lambda: 0.0
    engine.submit("first", "go on", sampling=NO_END, max_tokens=200)
    steps_until_first_token(engine, "first")
    others = [engine.submit(f"other {number}", "x" * 100, sampling=NO_END, max_tokens=50) for number in range(7)]
    engine.step()
    engine.step()
    assert [bool(answer.deltas) for answer in others] == 7 * [burst > 0]


def test_a_stream_gets_a_token_a_step_while_a_prompt_is_computed_in_small_chunks(engine: SteppedEngine) -> None:
    stream = engine.submit("stream", "go on", sampling=NO_END, max_tokens=200)
    steps_until_first_token(engine, "stream")
    engine.submit("long", "x" * 720, sampling=NO_END, max_tokens=2)
    before = engine.engine._batch.generator._counters.generation_tokens
    steps = steps_until_first_token(engine, "long")
    assert engine.engine._batch.generator._counters.generation_tokens - before >= steps
    assert math.ceil(720 / FITTING) <= steps <= math.ceil(720 / FITTING) + 3
    assert stream.failed is None


def test_a_short_prompt_does_not_wait_for_the_end_of_a_long_one(engine: SteppedEngine) -> None:
    engine.submit("stream", "go on", sampling=NO_END, max_tokens=300)
    steps_until_first_token(engine, "stream")
    long = engine.submit("long", "x" * 1500, sampling=NO_END, max_tokens=2)
    engine.step()
    engine.submit("short", "y" * 30, sampling=NO_END, max_tokens=2)
    # It gets half of the budget.
    assert steps_until_first_token(engine, "short") <= math.ceil(30 / (FITTING // 2)) + 3
    assert not long.deltas


def test_two_prompts_get_equal_shares(engine: SteppedEngine) -> None:
    engine.submit("stream", "go on", sampling=NO_END, max_tokens=300)
    steps_until_first_token(engine, "stream")
    debaters = [engine.submit(name, name * 200, sampling=NO_END, max_tokens=40) for name in ("a", "b")]
    told = []
    while not all(answer.ended for answer in debaters):
        engine.step()
        told.append([len(answer.deltas) for answer in debaters])
    assert max(abs(a - b) for a, b in told) <= 2, "one of them waited for the other"
