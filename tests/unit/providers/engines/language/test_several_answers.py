"""`n`: several answers to one prompt, which is computed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.chat.types import SamplingParams
from providers.engines.language.prefill.budget import PREFILL_STEP
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import EngineClient
from tests.unit.providers.engines.inprocess import SteppedEngine

PROMPT = "a prompt that several answers share, and that is not quite short"
GREEDY = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})


class _Broken:
    def add(self, token: int) -> str:
        raise ZeroDivisionError("inside one answer")

    def flush(self) -> str:
        return ""


def seeded(seed: int) -> SamplingParams:
    return SamplingParams(temperature=1.0, seed=seed, logit_bias={tiny.END: -100.0})


def test_each_answer_is_the_one_that_its_own_seed_gives(engine: EngineClient) -> None:
    several = engine.ask("several", PROMPT, sampling=seeded(7), n=3, max_tokens=16)
    alone = [engine.ask(f"alone{i}", PROMPT, sampling=seeded(7 + i), max_tokens=16).text for i in range(3)]
    assert [several.text_of(i) for i in range(3)] == alone
    assert len(set(alone)) == 3


def test_every_answer_ends_by_itself_with_its_own_usage(engine: EngineClient) -> None:
    free = engine.ask("free", PROMPT, sampling=seeded(1), n=4, max_tokens=30)
    stop = free.text_of(2)[5:8]
    answer = engine.ask("stopped", PROMPT, sampling=seeded(1), n=4, max_tokens=30, stop=[stop])
    assert sorted(answer.finishes) == [0, 1, 2, 3]
    assert answer.finishes[2].finish_reason == "stop"
    assert answer.finishes[2].usage.completion_tokens < 30
    for index, finished in answer.finishes.items():
        whole = free.text_of(index)
        assert answer.text_of(index) == (whole[: whole.index(stop)] if stop in whole else whole)
        assert answer.accepted is not None
        assert finished.usage.prompt_tokens == answer.accepted.prompt_tokens


@pytest.mark.parametrize("cache", [None, 0], ids=["with a prefix cache", "without"])
@pytest.mark.parametrize("prompt", [PROMPT, "x" * 90, "x", ""], ids=["one chunk", "several", "one token", "empty"])
def test_the_prompt_is_computed_once(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, prompt: str, cache: int | None
) -> None:
    monkeypatch.setitem(PREFILL_STEP, "cpu", 32)
    engine = SteppedEngine(tiny_folder, prefix_cache_bytes=cache)
    with engine.engine._batch.generator.stats() as stats:
        answer = engine.ask("n", prompt, sampling=GREEDY, n=5, max_tokens=6)
    # Every output begins by feeding the prompt's last token.
    assert answer.accepted is not None
    assert stats.prompt_tokens == answer.accepted.prompt_tokens - 1
    assert {answer.text_of(i) for i in range(5)} == {answer.text}
    assert answer.text == engine.ask("alone", prompt, sampling=GREEDY, max_tokens=6).text


def test_answers_beyond_the_batch_wait_for_a_place_and_so_do_later_requests(tiny_folder: Path) -> None:
    engine = SteppedEngine(tiny_folder, max_concurrency=2)
    many = engine.submit("many", PROMPT, sampling=seeded(3), n=5, max_tokens=4)
    later = engine.submit("later", "later", sampling=GREEDY, max_tokens=4)
    engine.run()
    assert sorted(many.finishes) == list(range(5))
    assert later.finished is not None
    alone = [engine.ask(f"{i}", PROMPT, sampling=seeded(3 + i), max_tokens=4).text for i in range(5)]
    assert [many.text_of(i) for i in range(5)] == alone


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_cancelling_drops_every_answer(tiny_folder: Path, steps: int) -> None:
    engine = SteppedEngine(tiny_folder, max_concurrency=3)
    gone = engine.submit("gone", PROMPT, sampling=GREEDY, n=5, max_tokens=100)
    for _ in range(steps):
        engine.step()
    engine.engine.cancel("gone")
    assert not engine.engine.busy
    told = len(gone.deltas)
    after = engine.ask("after", PROMPT, sampling=GREEDY, n=3, max_tokens=3)
    assert after.ended
    assert len(gone.deltas) == told


def test_a_timeout_fails_the_request_once(engine: EngineClient) -> None:
    late = engine.ask("late", PROMPT, sampling=GREEDY, n=3, max_tokens=400, timeout=0.02)
    assert late.failed is not None
    assert late.failed.code == "timeout"
    assert not late.finishes
    assert engine.ask("next", PROMPT, sampling=GREEDY, max_tokens=2).finished is not None


def test_one_broken_answer_fails_its_request_and_no_other(tiny_folder: Path) -> None:
    engine = SteppedEngine(tiny_folder)
    good = engine.submit("good", "good", sampling=GREEDY, max_tokens=12)
    bad = engine.submit("bad", PROMPT, sampling=GREEDY, n=3, max_tokens=12)
    while len(bad.deltas) < 3:
        engine.step()

    row = next(row for row in engine.engine._sequences.values() if row.index == 1)
    row.decoder = _Broken()
    engine.run()
    assert bad.failed is not None
    assert bad.failed.code == "internal_error"
    assert 1 not in bad.finishes
    assert good.finished is not None
    assert good.finished.usage.completion_tokens == 12
