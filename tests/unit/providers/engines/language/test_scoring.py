"""Log-probabilities of a prompt are those of the model, however long the prompt and whatever runs beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest

from providers.chat.types import SamplingParams, TextPrompt, TokenPrompt
from providers.engines.language import scoring
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import EngineClient
from tests.unit.providers.engines.inprocess import SteppedEngine

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
PROMPT = [2 + (7 * place) % 250 for place in range(40)]


def expected(engine: SteppedEngine, tokens: list[int]) -> list[list[float]]:
    """The model's log-probabilities at every id, in the place of every token but the first."""
    logits = engine.engine._model(mx.array([tokens]))[0, :-1].astype(mx.float32)
    values: list[list[float]] = (logits - mx.logsumexp(logits, axis=-1, keepdims=True)).tolist()  # type: ignore[assignment]
    return values


@pytest.mark.parametrize("chunk", [1, 7, 512])
@pytest.mark.parametrize(
    "write", [tiny.write_folder, tiny.write_sliding_folder, tiny.write_hybrid_folder, tiny.write_recurrent_folder]
)
def test_they_are_the_model_s_own_in_chunks_of_any_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path], chunk: int
) -> None:
    monkeypatch.setattr(scoring, "MAX_CHUNK", chunk)
    engine = SteppedEngine(write(tmp_path))
    answer = engine.ask("scored", TokenPrompt(PROMPT), max_tokens=0, prompt_logprobs=3)
    assert answer.accepted is not None
    assert answer.accepted.prompt_logprobs is not None
    first, *rest = answer.accepted.prompt_logprobs
    assert (first.raw, first.top) == (engine.engine._text.piece(PROMPT[0])[1], [])
    for token, values, told in zip(PROMPT[1:], expected(engine, PROMPT), rest, strict=True):
        assert (told.token, told.raw) == engine.engine._text.piece(token)
        assert told.logprob == pytest.approx(values[token], abs=2e-3)
        assert [value for _, _, value in told.top] == pytest.approx(sorted(values, reverse=True)[:3], abs=2e-3)
    assert answer.finished is not None
    assert (answer.finished.finish_reason, answer.finished.usage.prompt_tokens) == ("length", len(PROMPT))
    assert (answer.text, answer.finished.usage.completion_tokens) == ("", 0)
    assert not engine.engine.busy


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("prompt", [TokenPrompt(PROMPT), TokenPrompt(PROMPT[:1]), TextPrompt("hello")])
def test_the_answer_after_it_is_the_usual_one(tiny_folder: Path, prompt: TokenPrompt | TextPrompt, n: int) -> None:
    plain = SteppedEngine(tiny_folder).ask("plain", prompt, sampling=NO_END, max_tokens=12, n=n)
    answer = SteppedEngine(tiny_folder).ask(
        "scored", prompt, sampling=NO_END, max_tokens=12, n=n, prompt_logprobs=0, top_logprobs=0
    )
    assert [answer.text_of(index) for index in range(n)] == [plain.text_of(index) for index in range(n)]
    assert answer.accepted is not None
    assert answer.accepted.prompt_logprobs is not None
    assert len(answer.accepted.prompt_logprobs) == answer.accepted.prompt_tokens
    assert all(told.top == [] for told in answer.accepted.prompt_logprobs)
    assert len(answer.logprobs) == 12


def test_neighbours_go_on_and_places_are_bounded(engine: EngineClient) -> None:
    alone = engine.ask("alone", "neighbour", sampling=NO_END, max_tokens=30)
    running = engine.generate("running", "neighbour", sampling=NO_END, max_tokens=30)
    scored = [
        engine.generate(f"s{number}", TokenPrompt([*PROMPT, number]), max_tokens=0, prompt_logprobs=1)
        for number in range(20)
    ]
    engine.wait(running, *scored)
    assert running.text == alone.text
    assert all(len(answer.accepted.prompt_logprobs or []) == 41 for answer in scored if answer.accepted)


def test_a_cancelled_one_is_forgotten(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "MAX_CHUNK", 1)
    engine = SteppedEngine(tiny_folder)
    answer = engine.submit("cancelled", TokenPrompt(PROMPT), max_tokens=5, prompt_logprobs=1)
    engine.step()
    engine.engine.cancel("cancelled")
    engine.run()
    assert (answer.accepted, answer.finished) == (None, None)
    assert engine.ask("next", "hello", sampling=NO_END, max_tokens=3).finished is not None


def test_a_failure_ends_only_its_request(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SteppedEngine(tiny_folder)

    def fail(_: scoring.PromptScoring) -> bool:
        raise ValueError("no")

    with monkeypatch.context() as patch:
        patch.setattr(scoring.PromptScoring, "step", fail)
        assert engine.ask("failed", "hello", max_tokens=5, prompt_logprobs=1).failed is not None
    assert engine.ask("next", "hello", max_tokens=5, prompt_logprobs=1).finished is not None


def test_no_answer_needs_no_step_of_the_model(tiny_folder: Path) -> None:
    answer = SteppedEngine(tiny_folder).ask("none", TokenPrompt(PROMPT), max_tokens=0, n=2)
    assert answer.ended
    assert answer.accepted is not None
    assert (answer.accepted.prompt_tokens, answer.accepted.prompt_logprobs) == (len(PROMPT), None)


@pytest.mark.parametrize(("length", "max_tokens", "fits"), [(512, 0, True), (513, 0, False), (512, 1, False)])
def test_a_prompt_without_an_answer_may_fill_the_context(
    tiny_folder: Path, length: int, max_tokens: int, fits: bool
) -> None:
    engine = SteppedEngine(tiny_folder)
    prompt = TokenPrompt([5] * length)
    if fits:
        assert engine.ask("full", prompt, max_tokens=max_tokens, prompt_logprobs=0).finished is not None
    else:
        with pytest.raises(Exception, match="maximum context length is 512"):
            engine.submit("over", prompt, max_tokens=max_tokens, prompt_logprobs=0)
