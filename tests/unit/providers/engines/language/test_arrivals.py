"""Requests that arrive together compute what their prompts share once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from providers.chat.types import SamplingParams
from providers.engines.language import sequences
from providers.engines.language.prefill import arrivals
from providers.engines.language.prefill.arrivals import WORTH_WAITING
from providers.engines.prefix.common_prefix import common_prefix
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import Answer, chat
from tests.unit.providers.engines.inprocess import SteppedEngine

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
SYSTEM = ("system", "You are tiny. " + "You answer as you like, and at any length. " * 4)
QUESTIONS = [f"question {number}, {'word ' * (number % 5)}?" for number in range(64)]
FAMILIES: dict[str, Callable[..., Path]] = {
    "attention": tiny.write_folder,
    "sliding window": tiny.write_sliding_folder,
    "hybrid": tiny.write_hybrid_folder,
    "recurrent": tiny.write_recurrent_folder,
}


def made(family: str, folder: Path, **spec: int | None) -> SteppedEngine:
    return SteppedEngine(FAMILIES[family](folder, max_position_embeddings=1024), warmup=False, **spec)


def submit(engine: SteppedEngine, number: int, **request: object) -> Answer:
    request = {"sampling": NO_END, "max_tokens": 3, **request}
    return engine.submit(str(number), chat(SYSTEM, ("user", QUESTIONS[number])), **request)


def prefilled(engine: SteppedEngine) -> int:
    """Prompt tokens computed so far."""
    return int(engine.engine._batch.generator._counters.prompt_tokens)


def accepted(answer: Answer) -> tuple[int, int]:
    assert answer.accepted is not None
    return answer.accepted.prompt_tokens, answer.accepted.cached_tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_a_shared_system_prompt_is_computed_once(family: str, tmp_path: Path) -> None:
    count = 64 if family == "attention" else 8
    engine = made(family, tmp_path, max_concurrency=count)
    answers = [submit(engine, number) for number in range(count)]
    engine.run()

    whole = [accepted(answer)[0] for answer in answers]
    shared = len(engine.engine._intake._prompts.tokens(chat(SYSTEM))) - 20
    assert shared > 150
    assert prefilled(engine) <= sum(whole) - (count - 1) * shared
    assert [accepted(answer)[1] >= shared for answer in answers] == [False] + [True] * (count - 1)

    expected = made(family, tmp_path, max_concurrency=1, prefix_cache_bytes=0)
    texts = [submit(expected, number) for number in range(8)]
    expected.run()
    assert [answer.text for answer in answers[:8]] == [answer.text for answer in texts]


def test_the_others_start_as_soon_as_the_shared_part_is_computed(tmp_path: Path) -> None:
    engine = made("attention", tmp_path, max_concurrency=4, prefill_step_size=16)
    long = engine.submit("long", chat(SYSTEM, ("user", "x" * 500)), sampling=NO_END, max_tokens=3)
    others = [submit(engine, number) for number in range(3)]
    while not all(other.accepted for other in others):
        engine.step()
    assert not long.deltas
    assert prefilled(engine) < accepted(long)[0] - 300
    engine.run()
    assert long.ended
    assert all(other.ended and other.text for other in others)


@pytest.mark.parametrize("end", ["cancel", "expire"])
def test_the_others_go_on_when_the_one_that_computes_is_gone(tmp_path: Path, end: str) -> None:
    engine = made("attention", tmp_path, max_concurrency=8, prefill_step_size=16)
    submit(engine, 0)
    others = [submit(engine, number) for number in range(1, 5)]
    engine.step()
    assert not any(other.accepted for other in others)
    if end == "cancel":
        engine.engine.cancel("0")
    else:
        engine.engine.recover(engine.out, RuntimeError("broken"))
    engine.run()
    assert all(other.text and other.failed is None for other in others)


def test_none_waits_for_little_for_another_salt_or_without_a_prefix_cache(tmp_path: Path) -> None:
    engine = made("attention", tmp_path / "salts", max_concurrency=8)
    salted = [submit(engine, number, cache_salt=str(number)) for number in range(4)]
    engine.step()
    assert all(answer.accepted for answer in salted)
    engine.run()

    engine = made("attention", tmp_path / "little", max_concurrency=8)
    little = [engine.submit(str(number), f"{'a' * 60}{number}", max_tokens=2) for number in range(4)]
    assert WORTH_WAITING > 3 * 60
    engine.step()
    assert all(answer.accepted for answer in little)
    engine.run()

    engine = made("attention", tmp_path / "off", max_concurrency=8, prefix_cache_bytes=0)
    answers = [submit(engine, number) for number in range(4)]
    engine.step()
    assert all(answer.accepted for answer in answers)
    engine.run()


def test_tokens_are_delivered_before_the_next_ones_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = made("attention", tmp_path, max_concurrency=2)
    batch = engine.engine._batch
    submit(engine, 0, max_tokens=4)
    delivered = []
    launch = batch.launch

    def note() -> None:
        if batch.generator.decoding._unlaunched or batch.generator.decoding._is_postponed:
            assert not engine.out._events, "something waits to be sent"
            delivered.extend(len(sequence.tokens) for sequence in engine.engine._sequences.values())
        launch()

    monkeypatch.setattr(batch, "launch", note)
    engine.run()
    assert delivered == [1, 2, 3]


def test_many_arrivals_are_compared_once_with_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All prompts share a beginning that is kept already, so each of them starts, and none is worth waiting for."""
    compared = counted(monkeypatch, common_prefix)
    count = 32
    engine = made("attention", tmp_path, max_concurrency=count)
    submit(engine, count)
    engine.run()
    answers = [submit(engine, number) for number in range(count)]
    engine.step()
    assert all(answer.accepted for answer in answers)
    assert len(compared) <= count * count


def counted(monkeypatch: pytest.MonkeyPatch, compare: Callable[[Sequence[int], Sequence[int]], int]) -> list[int]:
    """The results of all comparisons from now on, in their order."""
    found: list[int] = []

    def noted(one: Sequence[int], other: Sequence[int]) -> int:
        found.append(compare(one, other))
        return found[-1]

    for module in (arrivals, sequences):
        monkeypatch.setattr(module, "common_prefix", noted)
    return found
