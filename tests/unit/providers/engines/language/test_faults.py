"""A fault inside the language-model engine ends one request, or one batch, and never the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.chat.types import SamplingParams
from providers.engines.language.engine import PREFILL_STEP
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import chat
from tests.unit.providers.engines.inprocess import SteppedEngine

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})


@pytest.fixture
def engine(tiny_folder: Path) -> SteppedEngine:
    return SteppedEngine(tiny_folder)


class _Broken:
    def __init__(self, *, markup: bool) -> None: ...

    def add(self, token: int) -> str:
        raise ZeroDivisionError("inside one answer")


def test_an_answer_that_cannot_be_decoded_fails_no_other(engine: SteppedEngine) -> None:
    good = engine.submit("good", "good", sampling=NO_END, max_tokens=10)
    engine.step()
    whole = engine.engine._text.decoder
    engine.engine._text.decoder = _Broken  # type: ignore[method-assign,assignment]
    bad = engine.submit("bad", "bad", sampling=NO_END, max_tokens=10)
    engine.step()
    engine.engine._text.decoder = whole  # type: ignore[method-assign]
    engine.run()
    assert bad.failed is not None
    assert bad.failed.code == "internal_error"
    assert "inside" not in bad.failed.message
    assert good.finished is not None
    assert good.finished.usage.completion_tokens == 10


def test_a_step_that_breaks_fails_its_batch_and_the_next_request_is_served(
    engine: SteppedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = engine.ask("before", "the same", sampling=NO_END, max_tokens=10).text
    doomed = [engine.submit(f"doomed{i}", f"doomed {i}", sampling=NO_END, max_tokens=50) for i in range(2)]
    engine.step()

    def explode() -> Any:
        raise MemoryError("inside the batch")

    monkeypatch.setattr(engine.engine._batch.generator, "next", explode)
    engine.step()
    assert [answer.failed.code for answer in doomed if answer.failed] == ["internal_error"] * 2
    assert not engine.engine.busy
    assert engine.ask("after", "the same", sampling=NO_END, max_tokens=10).text == before


def test_a_prefix_cache_that_breaks_costs_a_prefill_and_nothing_else(
    engine: SteppedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "some prompt of some length"
    first = engine.ask("first", prompt, sampling=NO_END, max_tokens=5)

    def explode(*_: Any) -> Any:
        raise KeyError("a node of the trie")

    monkeypatch.setattr(engine.engine._prefixes._cache, "fetch_nearest_cache", explode)
    second = engine.ask("second", prompt, sampling=NO_END, max_tokens=5)
    assert second.accepted is not None
    assert (second.accepted.cached_tokens, second.text) == (0, first.text)


def test_a_request_is_cancelled_in_the_middle_of_its_prompt(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_STEP, "cpu", 16)
    engine = SteppedEngine(tiny_folder)
    prompt = "x" * 200
    answer = engine.submit("long", prompt, sampling=NO_END, max_tokens=5)
    for _ in range(4):
        engine.step()
    assert answer.accepted is not None
    assert not answer.deltas
    engine.engine.cancel("long")
    assert not engine.engine.busy
    again = engine.ask("again", prompt, sampling=NO_END, max_tokens=5)
    assert again.accepted is not None
    assert 32 <= again.accepted.cached_tokens < 199


def test_a_request_is_cancelled_while_it_waits(tiny_folder: Path) -> None:
    engine = SteppedEngine(tiny_folder, max_concurrency=1)
    first = engine.submit("first", "first", sampling=NO_END, max_tokens=5)
    second = engine.submit("second", "second", sampling=NO_END, max_tokens=5)
    engine.step()
    engine.engine.cancel("second")
    engine.run()
    assert first.finished is not None
    assert second.accepted is None


def test_the_prefix_cache_stays_under_its_bound(tiny_folder: Path) -> None:
    bound = 300_000
    engine = SteppedEngine(tiny_folder, prefix_cache_bytes=bound)
    for number in range(12):
        engine.ask(f"{number}", f"{number} " * 60, sampling=NO_END, max_tokens=10)
        assert engine.engine.memory().prefix_cache <= bound
    assert engine.engine.memory().prefix_cache > 0


def test_a_prefix_cache_of_zero_bytes_is_off(tiny_folder: Path) -> None:
    engine = SteppedEngine(tiny_folder, prefix_cache_bytes=0)
    for number in range(2):
        answer = engine.ask(f"{number}", "again and again", sampling=NO_END, max_tokens=3)
        assert answer.accepted is not None
        assert answer.accepted.cached_tokens == 0


def test_turns_that_a_strict_template_refuses_are_merged_and_tried_again(tmp_path: Path) -> None:
    strict = (
        "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ message['content'] }}|{% endfor %}"
    )
    engine = SteppedEngine(tiny.write_folder(tmp_path / "strict", template=strict))
    turns = [("system", "a"), ("user", "b"), ("user", "c"), ("assistant", "d"), ("user", "e")]
    answer = engine.ask("a", chat(*turns), sampling=NO_END, max_tokens=8)
    same = engine.ask("b", "a\n\nb\n\nc|d|e|", sampling=NO_END, max_tokens=8)
    assert answer.text == same.text
