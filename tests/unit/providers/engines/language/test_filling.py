"""A prompt that is only computed is kept for the next request, and everything else comes before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from providers.chat.types import SamplingParams, TokenPrompt
from providers.engines.language.prefill import filling
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.inprocess import SteppedEngine

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
PROMPT = [2 + (7 * place) % 250 for place in range(60)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "FILLED_TOKENS", 7)


@pytest.mark.parametrize(
    "write", [tiny.write_folder, tiny.write_sliding_folder, tiny.write_hybrid_folder, tiny.write_recurrent_folder]
)
def test_the_next_request_reads_the_prompt_and_answers_as_without(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    folder = write(tmp_path)
    plain = SteppedEngine(folder).ask("plain", TokenPrompt(PROMPT), sampling=NO_END, max_tokens=12)
    engine = SteppedEngine(folder)

    filled = engine.ask("filled", TokenPrompt(PROMPT), prefill_only=True)
    answer = engine.ask("next", TokenPrompt(PROMPT), sampling=NO_END, max_tokens=12)

    assert filled.finished is not None
    assert (filled.text, filled.finished.finish_reason) == ("", "length")
    assert (filled.finished.usage.prompt_tokens, filled.finished.usage.completion_tokens) == (len(PROMPT), 0)
    assert answer.accepted is not None
    assert answer.accepted.cached_tokens == len(PROMPT) - 1
    assert answer.text == plain.text
    assert not engine.engine.busy


def test_a_prompt_that_grows_is_computed_once(tiny_folder: Path) -> None:
    engine = SteppedEngine(tiny_folder)
    for length in (20, 40, 60):
        filled = engine.ask(f"to{length}", TokenPrompt(PROMPT[:length]), prefill_only=True)
        assert filled.finished is not None
        assert filled.finished.usage.cached_tokens == max(0, length - 21)


def test_every_other_request_comes_first(tiny_folder: Path) -> None:
    engine = SteppedEngine(tiny_folder)
    filled = engine.submit("filled", TokenPrompt(PROMPT), prefill_only=True)
    engine.step()
    answer = engine.submit("answer", "neighbour", sampling=NO_END, max_tokens=20)
    while answer.finished is None:
        engine.step()
    assert filled.finished is None
    engine.run()
    assert filled.finished is not None


def test_what_is_computed_of_a_cancelled_one_is_kept(tiny_folder: Path) -> None:
    engine = SteppedEngine(tiny_folder)
    engine.submit("filled", TokenPrompt(PROMPT), prefill_only=True)
    for _ in range(3):
        engine.step()
    engine.engine.cancel("filled")
    assert not engine.engine.busy
    answer = engine.ask("next", TokenPrompt(PROMPT), sampling=NO_END, max_tokens=2)
    assert answer.accepted is not None
    assert answer.accepted.cached_tokens == 21


def test_several_are_filled_in_their_order_and_a_failure_ends_one(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = SteppedEngine(tiny_folder)
    fillings = engine.engine._fillings
    first = engine.submit("first", TokenPrompt(PROMPT), prefill_only=True)
    second = engine.submit("second", TokenPrompt(PROMPT[5:]), prefill_only=True)
    engine.step()
    model = fillings._model

    def broken(*_: object, **__: object) -> None:
        monkeypatch.setattr(fillings, "_model", model)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(fillings, "_model", broken)
    engine.run()
    assert first.failed is not None
    assert second.finished is not None


def test_a_late_one_fails(tiny_folder: Path) -> None:
    engine = SteppedEngine(tiny_folder)
    late = engine.submit("late", TokenPrompt(PROMPT), prefill_only=True, timeout=1e-9)
    engine.run()
    assert late.failed is not None
    assert late.failed.code == "timeout"
