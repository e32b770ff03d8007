"""A fault inside the language-model engine ends one request, or one batch, and never the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.chat.types import RegexGrammar, SamplingParams
from providers.engines.language.prefill.budget import PREFILL_STEP
from providers.engines.language.sequences import ActiveSequence
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import chat
from tests.unit.providers.engines.fake_engine import Panic
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


OUT_OF_MEMORY = "[malloc] Unable to allocate 99 bytes."
VARIANTS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "seeded": {"sampling": SamplingParams(temperature=1.0, seed=5, logit_bias={tiny.END: -100.0})},
    "penalties": {
        "sampling": SamplingParams(
            temperature=0.0,
            repetition_penalty=1.3,
            presence_penalty=0.5,
            frequency_penalty=0.5,
            logit_bias={tiny.END: -100.0},
        )
    },
    "grammar": {"grammar": RegexGrammar("[a-c]{4}[0-9]{6}[x-z]{40}"), "sampling": SamplingParams(temperature=0.0)},
    "logprobs": {"top_logprobs": 2},
    "two answers": {"n": 2, "sampling": SamplingParams(temperature=1.0, seed=9, logit_bias={tiny.END: -100.0})},
}


def break_next_step(engine: SteppedEngine, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def explode() -> Any:
        raise error

    monkeypatch.setattr(engine.engine._batch.generator, "next", explode)


@pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("steps", [1, 2, 3, 9])
def test_a_step_without_memory_fails_the_newest_request_and_the_others_go_on(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], steps: int
) -> None:
    request = {"sampling": NO_END, "max_tokens": 40, **fields}
    alone = SteppedEngine(tiny_folder).ask("alone", "the same", **request)
    engine = SteppedEngine(tiny_folder)
    first = engine.submit("first", "the same", **request)
    second = engine.submit("second", "another one", sampling=NO_END, max_tokens=30)
    for _ in range(steps):
        engine.step()
    newest = engine.submit("newest", "x" * 50, sampling=NO_END, max_tokens=30)
    engine.step()

    break_next_step(engine, monkeypatch, RuntimeError(OUT_OF_MEMORY))
    engine.run()

    assert newest.failed is not None
    assert newest.failed.code == "out_of_memory"
    assert second.failed is first.failed is None
    for index in range(fields.get("n", 1)):
        assert first.text_of(index) == alone.text_of(index)
        assert first.finishes[index].usage == alone.finishes[index].usage
    assert [one.token for one in first.logprobs] == [one.token for one in alone.logprobs]
    assert second.text == SteppedEngine(tiny_folder).ask("b", "another one", sampling=NO_END, max_tokens=30).text


def test_answers_survive_one_step_after_the_other(engine: SteppedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = engine.ask("before", "the same", sampling=NO_END, max_tokens=30).text
    answers = [engine.submit(f"{number}", "the same", sampling=NO_END, max_tokens=30) for number in range(4)]
    for number in (3, 2, 1):
        for _ in range(4):
            engine.step()
        break_next_step(engine, monkeypatch, MemoryError())
        engine.step()
        assert [answer.failed is None for answer in answers] == [other < number for other in range(4)]
    engine.run()
    assert answers[0].text == whole


def test_a_single_request_that_breaks_the_step_fails_and_the_next_is_served(
    engine: SteppedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = engine.ask("before", "the same", sampling=NO_END, max_tokens=10).text
    doomed = engine.submit("doomed", "doomed", sampling=NO_END, max_tokens=50)
    engine.step()
    break_next_step(engine, monkeypatch, ZeroDivisionError("inside the batch"))
    engine.step()
    assert doomed.failed is not None
    assert doomed.failed.code == "internal_error"
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


@pytest.mark.parametrize("steps", [4, 9, 14, 18, 24])
def test_a_thought_ends_at_its_budget_after_a_step_that_failed(
    roomy_folder: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    request = {
        "prompt": chat(("user", "think"), suffix="<think>\n"),
        "sampling": SamplingParams(temperature=1.2, seed=5, logit_bias={tiny.END: -100.0}),
        "max_tokens": 30,
        "max_reasoning_tokens": 7,
    }
    alone = SteppedEngine(roomy_folder, reasoning_parser="think").ask("alone", **request)
    engine = SteppedEngine(roomy_folder, reasoning_parser="think")
    answer = engine.submit("first", **request)
    for _ in range(steps):
        engine.step()
    newest = engine.submit("newest", "x", sampling=NO_END, max_tokens=30)
    engine.step()
    break_next_step(engine, monkeypatch, RuntimeError(OUT_OF_MEMORY))
    engine.run()
    assert newest.failed is not None
    assert (answer.reasoning, answer.text) == (alone.reasoning, alone.text)


@pytest.mark.parametrize("fault", [Panic(), SystemExit(3)])
def test_an_answer_that_ends_with_what_is_no_exception_fails_itself_and_not_the_newest(
    engine: SteppedEngine, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    take = ActiveSequence.take

    def explode(sequence: ActiveSequence, *token: Any) -> Any:
        if sequence.request.job.id == "bad":
            raise fault
        return take(sequence, *token)

    bad = engine.submit("bad", "bad", sampling=NO_END, max_tokens=10)
    good = engine.submit("good", "good", sampling=NO_END, max_tokens=10)
    monkeypatch.setattr(ActiveSequence, "take", explode)
    engine.run()
    assert bad.failed is not None
    assert bad.failed.code == "internal_error"
    assert good.finished is not None
    assert good.finished.usage.completion_tokens == 10
