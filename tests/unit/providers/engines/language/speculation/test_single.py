"""Speculation: outputs equal those without it, in fewer steps, for any requests and ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.chat.types import Accepted, SamplingParams, TokenPrompt
from providers.engine_host.frames import Events, Report
from providers.engines.process.engine import EngineLoadError, Outbox
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import GREEDY
from tests.unit.providers.engines.inprocess import SteppedEngine
from tests.unit.providers.engines.language.speculation.models import (
    PROMPT,
    SEEDED,
    TOKENS,
    outcome,
    tally,
    write_model,
)


def steps(engine: SteppedEngine, **request: Any) -> tuple[Any, int]:
    """The output and its number of steps. Checks that a step's tokens are in one frame."""
    answer, count = engine.submit("counted", PROMPT, **request), 0
    frames: list[Events] = []

    def note(report: Report) -> None:
        assert isinstance(report, Events)
        frames.append(report)

    out = Outbox(note)
    while engine.engine.busy:
        frames.clear()
        engine.engine.step(out)
        out.flush()
        assert sum(any(not isinstance(event, Accepted) for _, event in frame.items) for frame in frames) <= 1
        for frame in frames:
            engine.file(frame)
        count += 1
    return outcome(answer), count


@pytest.mark.parametrize("count", [1, 3, 16])
@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
def test_looking_up_the_prompt_changes_no_answer(
    circling: Path, circles: SteppedEngine, sampling: SamplingParams, count: int
) -> None:
    engine = SteppedEngine(circling, dtype="float32", prompt_lookup=count)
    for name in ("one", "two"):
        expected = outcome(circles.ask(name, PROMPT, sampling=sampling, max_tokens=TOKENS))
        assert outcome(engine.ask(name, PROMPT, sampling=sampling, max_tokens=TOKENS)) == expected
    assert tally(engine).proposed > 0


def test_an_answer_that_repeats_itself_takes_fewer_steps(circling: Path, circles: SteppedEngine) -> None:
    expected, without = steps(circles, max_tokens=TOKENS)
    engine = SteppedEngine(circling, dtype="float32", prompt_lookup=8)

    answer, with_lookup = steps(engine, max_tokens=TOKENS)

    assert answer == expected
    assert with_lookup < without / 2
    assert 0 < tally(engine).accepted <= tally(engine).proposed


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
@pytest.mark.parametrize("same", [True, False], ids=["draft is the model", "draft is another"])
def test_a_draft_model_changes_no_answer(
    mindful: Path, minds: SteppedEngine, tmp_path: Path, same: bool, sampling: SamplingParams
) -> None:
    draft = mindful if same else write_model(tmp_path / "draft", memory=True, seed=8, hidden_size=32)
    engine = SteppedEngine(mindful, dtype="float32", draft_model=str(draft), num_draft_tokens=4)
    for name in ("one", "two"):
        expected = outcome(minds.ask(name, PROMPT, sampling=sampling, max_tokens=TOKENS))
        assert outcome(engine.ask(name, PROMPT, sampling=sampling, max_tokens=TOKENS)) == expected
    assert tally(engine).proposed > 0
    if same and sampling is GREEDY:
        # Proposals after the end of an output are not accepted.
        assert tally(engine).accepted >= tally(engine).proposed - 2 * 3


def test_a_long_prompt_is_read_by_the_draft_model_while_the_answer_goes_on(mindful: Path, minds: SteppedEngine) -> None:
    prompt = TokenPrompt([(place * 37) % 250 + 2 for place in range(300)])
    engine = SteppedEngine(mindful, dtype="float32", draft_model=str(mindful))

    answer = engine.ask("long", prompt, max_tokens=TOKENS)

    assert outcome(answer) == outcome(minds.ask("long", prompt, max_tokens=TOKENS))
    assert tally(engine).accepted == tally(engine).proposed > 0


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 4, 5, 30, 31, 32, 33])
def test_the_length_is_exactly_the_requested_one(circling: Path, circles: SteppedEngine, max_tokens: int) -> None:
    engine = SteppedEngine(circling, dtype="float32", prompt_lookup=8)
    answer = engine.ask("length", PROMPT, max_tokens=max_tokens)
    assert outcome(answer) == outcome(circles.ask("length", PROMPT, max_tokens=max_tokens))


def test_a_stop_string_inside_what_was_foreseen_ends_the_answer(circling: Path, circles: SteppedEngine) -> None:
    free = circles.ask("free", PROMPT, max_tokens=TOKENS).text
    stop = [free[-4:]]
    engine = SteppedEngine(circling, dtype="float32", prompt_lookup=8)

    answer = engine.ask("stop", PROMPT, max_tokens=TOKENS, stop=stop)

    assert outcome(answer) == outcome(circles.ask("stop", PROMPT, max_tokens=TOKENS, stop=stop))
    assert not engine.engine.busy
    again = engine.ask("again", PROMPT, max_tokens=TOKENS)
    assert again.text == free


def test_an_end_token_that_was_foreseen_ends_the_answer(circling: Path, circles: SteppedEngine, tmp_path: Path) -> None:
    circles.submit("circle", PROMPT, max_tokens=TOKENS)
    ids: list[int] = []
    while circles.engine.busy:
        circles.step()
        ids = next(iter(circles.engine._batch.generator.decoding.tokens), ids)
    # The end is a token of the loop that the output enters, and the prompt has gone through that loop.
    prompt, end = TokenPrompt([*ids[-20:], *ids[-20:-1]]), ids[-1]
    ending = write_model(tmp_path / "ending", memory=False, eos_token_id=[end])
    expected, engine = (SteppedEngine(ending, dtype="float32", prompt_lookup=count) for count in (None, 8))

    answers = [each.ask("end", prompt, max_tokens=TOKENS) for each in (expected, engine)]

    assert outcome(answers[1]) == outcome(answers[0])
    assert outcome(answers[1])[1] == "stop"


def test_a_second_request_joins_at_any_step_and_neither_loses_a_token(
    circling: Path, circles: SteppedEngine, mindful: Path, minds: SteppedEngine
) -> None:
    looking = SteppedEngine(circling, dtype="float32", prompt_lookup=8)
    drafting = SteppedEngine(mindful, dtype="float32", draft_model=str(mindful))
    other = TokenPrompt([9, 8, 7, 6, 5])
    for engine, plain in ((looking, circles), (drafting, minds)):
        expected = [outcome(plain.ask("x", each, max_tokens=TOKENS)) for each in (PROMPT, other)]
        for joins_after in (1, 4, 9):
            first = engine.submit("first", PROMPT, max_tokens=TOKENS)
            for _ in range(joins_after):
                engine.step()
            assert not first.ended
            second = engine.submit("second", other, max_tokens=TOKENS)
            engine.run()
            assert [outcome(first), outcome(second)] == expected


def test_a_cancelled_answer_leaves_a_prefix_that_can_be_used(circling: Path, circles: SteppedEngine) -> None:
    engine = SteppedEngine(circling, dtype="float32", prompt_lookup=8)
    gone = engine.submit("gone", PROMPT, max_tokens=400)
    while tally(engine).accepted < 20:
        engine.step()
        assert not gone.ended
    engine.engine.cancel("gone")
    engine.run()

    longer = TokenPrompt([*PROMPT.tokens, 77])
    answers = [each.ask("after", longer, max_tokens=TOKENS) for each in (engine, circles)]

    assert outcome(answers[0]) == outcome(answers[1])


@pytest.mark.parametrize(
    "request_",
    [
        {"sampling": SamplingParams(temperature=0.0, frequency_penalty=0.5)},
        {"sampling": SamplingParams(temperature=0.0, logit_bias={7: 5.0})},
        {"top_logprobs": 2},
    ],
)
def test_rows_that_keep_books_go_on_token_by_token(
    circling: Path, circles: SteppedEngine, request_: dict[str, Any]
) -> None:
    engine = SteppedEngine(circling, dtype="float32", prompt_lookup=8)
    answer, expected = (each.ask("books", PROMPT, max_tokens=40, **request_) for each in (engine, circles))
    assert outcome(answer) == outcome(expected)
    assert [token.token for token in answer.logprobs] == [token.token for token in expected.logprobs]
    assert tally(engine).proposed == 0


def test_quantised_caches_are_cut_too(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "wide", memory=True, num_attention_heads=2, num_key_value_heads=1)
    cache = {"kv_bits": 8, "kv_group_size": 32}
    plain = SteppedEngine(folder, dtype="float32", **cache)
    engine = SteppedEngine(folder, dtype="float32", draft_model=str(folder), **cache)
    answers = [each.ask("wide", PROMPT, max_tokens=TOKENS) for each in (engine, plain)]
    assert outcome(answers[0]) == outcome(answers[1])
    assert 0 < tally(engine).accepted < tally(engine).proposed


def test_a_draft_model_of_another_vocabulary_is_refused_by_name(circling: Path, tmp_path: Path) -> None:
    draft = tiny.write_folder(tmp_path / "draft")
    content = (draft / "tokenizer.json").read_text()
    (draft / "tokenizer.json").write_text(content.replace("<|start|>", "<|begin|>"))
    with pytest.raises(EngineLoadError, match=r"--draft-model: .*draft has another vocabulary than"):
        SteppedEngine(circling, draft_model=str(draft))


def test_a_draft_model_that_cannot_be_loaded_is_refused_by_name(circling: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineLoadError, match=r"--draft-model: .*nowhere"):
        SteppedEngine(circling, draft_model=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("option", [{"prompt_lookup": 4}, {"draft_model": "x"}])
def test_a_cache_that_forgets_is_refused_with_the_reason(circling: Path, option: dict[str, Any]) -> None:
    (name,) = option
    flag = "--" + name.replace("_", "-")
    with pytest.raises(EngineLoadError, match=rf"{flag}: this model's cache \(RotatingKVCache\) cannot be cut back"):
        SteppedEngine(circling, max_kv_size=64, **option)
