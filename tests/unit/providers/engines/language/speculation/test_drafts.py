"""A draft model for several sequences: outputs equal those without it, and few proposals of the model itself fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from providers.chat.types import SamplingParams, TokenPrompt
from providers.engines.language.speculation.worth import Always
from tests.unit.providers.engines.client import GREEDY, Answer
from tests.unit.providers.engines.inprocess import SteppedEngine
from tests.unit.providers.engines.language.speculation.models import SEEDED, outcome, tally, write_model

TOKENS = 60
PROMPTS = [
    TokenPrompt([5, 80, 17, 42, 9, 200, 33, 5, 80, 17]),
    TokenPrompt([9, 8]),
    TokenPrompt([(place * 37) % 250 + 2 for place in range(300)]),
]


def drafting(folder: Path, draft: Path, **spec: Any) -> SteppedEngine:
    engine = SteppedEngine(folder, dtype="float32", draft_model=str(draft), num_draft_tokens=4, **spec)
    speculation = engine.engine._speculation
    assert speculation is not None
    speculation.worth = Always()
    return engine


def run_together(engine: SteppedEngine, sampling: SamplingParams = GREEDY) -> list[Answer]:
    answers = [
        engine.submit(f"{n}", prompt, sampling=sampling, max_tokens=TOKENS + 7 * n) for n, prompt in enumerate(PROMPTS)
    ]
    engine.run()
    return answers


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
@pytest.mark.parametrize("same", [True, False], ids=["draft is the model", "draft is another"])
def test_answers_that_run_together_are_those_without_a_draft(
    mindful: Path, minds: SteppedEngine, tmp_path: Path, same: bool, sampling: SamplingParams
) -> None:
    draft = mindful if same else write_model(tmp_path / "draft", memory=True, seed=8, hidden_size=32)
    engine = drafting(mindful, draft)

    answers = run_together(engine, sampling)

    expected = run_together(minds, sampling)
    assert [*map(outcome, answers)] == [*map(outcome, expected)]
    assert tally(engine).proposed > 0
    if same and sampling is GREEDY:
        assert tally(engine).accepted == tally(engine).proposed > 100
    else:
        assert tally(engine).accepted < tally(engine).proposed


def test_a_draft_goes_on_where_requests_join_and_leave(mindful: Path, minds: SteppedEngine) -> None:
    engine = drafting(mindful, mindful)
    first = engine.submit("first", PROMPTS[0], max_tokens=TOKENS)
    for _ in range(4):
        engine.step()
    assert tally(engine).accepted > 0
    later = [engine.submit(f"{n}", PROMPTS[n], max_tokens=2 * TOKENS) for n in (1, 2)]
    for _ in range(6):
        engine.step()
    engine.engine.cancel("1")
    engine.run()

    assert outcome(first) == outcome(minds.ask("x", PROMPTS[0], max_tokens=TOKENS))
    assert outcome(later[1]) == outcome(minds.ask("x", PROMPTS[2], max_tokens=2 * TOKENS))
    assert tally(engine).accepted == tally(engine).proposed
    assert outcome(engine.ask("last", PROMPTS[1], max_tokens=TOKENS)) == outcome(
        minds.ask("x", PROMPTS[1], max_tokens=TOKENS)
    )
    assert tally(engine).accepted == tally(engine).proposed


def test_a_draft_that_lags_behind_reads_on_before_it_proposes(mindful: Path, minds: SteppedEngine) -> None:
    engine = drafting(mindful, mindful, prefill_step_size=16)
    speculation = engine.engine._speculation
    assert speculation is not None
    answers = [engine.submit(f"{n}", PROMPTS[n], max_tokens=2 * TOKENS) for n in (0, 1)]
    while tally(engine).proposed < 20:
        engine.step()
    speculation.worth = Never()
    for _ in range(30):
        engine.step()
    speculation.worth = Always()
    before = tally(engine).proposed
    engine.run()

    assert [*map(outcome, answers)] == [outcome(minds.ask("x", PROMPTS[n], max_tokens=2 * TOKENS)) for n in (0, 1)]
    assert tally(engine).accepted == tally(engine).proposed > before + 20


class Never(Always):
    def width(self, sequences: int, chances: object) -> int:
        return 0


def test_a_draft_that_fails_costs_no_answer(
    mindful: Path, minds: SteppedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = drafting(mindful, mindful)
    answers = [engine.submit(f"{n}", PROMPTS[n], max_tokens=TOKENS) for n in (0, 1)]
    while tally(engine).proposed < 10:
        engine.step()
    batch, speculation = engine.engine._batch, engine.engine._speculation
    assert speculation is not None
    with monkeypatch.context() as patch:
        patch.setattr(speculation._proposer, "propose", _fail)
        while engine.engine._batch is batch:
            engine.step()
    engine.run()

    assert answers[1].failed is not None
    assert outcome(answers[0]) == outcome(minds.ask("x", PROMPTS[0], max_tokens=TOKENS))


def _fail(*_: Any) -> None:
    raise RuntimeError("no memory")


def test_a_draft_gives_its_memory_back(mindful: Path) -> None:
    engine = drafting(mindful, mindful, prefix_cache_bytes=0)
    used = []
    for _ in range(3):
        run_together(engine)
        engine.ask("single", PROMPTS[0], max_tokens=4)
        mx.clear_cache()
        used.append(mx.get_active_memory())
    assert used[2] <= used[1]
