"""How much of earlier prompts a prompt finds, for every kind of cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from providers.chat.types import ChatPrompt, SamplingParams
from providers.engines.prefix.files import BLOCK
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import Answer, EngineClient, chat
from tests.unit.providers.engines.inprocess import SteppedEngine

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
SYSTEM = ("system", "You are tiny, and you answer whatever comes to your mind.")
FAMILIES: dict[str, Callable[..., Path]] = {
    "attention": tiny.write_folder,
    "sliding window": tiny.write_sliding_folder,
    "hybrid": tiny.write_hybrid_folder,
    "recurrent": tiny.write_recurrent_folder,
}
THINKING = tiny.TEMPLATE.replace("'<|start|>' }}{% endif %}", "'<|start|>assistant\n<think></think>' }}{% endif %}")
"""As in reasoning models: the end of the prompt that asks for an answer is not part of later turns."""


@pytest.fixture(params=FAMILIES, ids=str)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> SteppedEngine:
    return made(request.param, tmp_path)


def made(family: str, folder: Path, template: str = tiny.TEMPLATE, **spec: Any) -> SteppedEngine:
    return SteppedEngine(
        FAMILIES[family](folder / "model", max_position_embeddings=2048, template=template), warmup=False, **spec
    )


def ask(engine: SteppedEngine, *turns: tuple[str, str]) -> Answer:
    return engine.ask(str(len(engine.answers)), chat(SYSTEM, *turns), sampling=NO_END, max_tokens=6)


def cached(answer: Answer) -> int:
    assert answer.accepted is not None
    return answer.accepted.cached_tokens


def length(engine: SteppedEngine, *turns: tuple[str, str]) -> int:
    """Tokens of the beginning of a prompt: these messages, without the part that asks for an answer."""
    prompt = ChatPrompt(messages=chat(*turns).messages, template_kwargs={"add_generation_prompt": False})
    return len(engine.engine._intake._prompts.tokens(prompt))


def test_a_system_prompt_is_shared_by_conversations(engine: SteppedEngine) -> None:
    ask(engine, ("user", "the first question of somebody, which is quite long"))
    assert cached(ask(engine, ("user", "another one, and it has nothing in common with it"))) >= length(engine, SYSTEM)
    assert cached(ask(engine, ("user", "a third"))) >= length(engine, SYSTEM)


def test_a_system_prompt_stays_while_the_questions_after_it_are_evicted(tmp_path: Path) -> None:
    roomy = made("recurrent", tmp_path / "roomy")
    ask(roomy, ("user", "how much is kept of one question?"))
    engine = made("recurrent", tmp_path / "tight", prefix_cache_bytes=2 * roomy.engine._prefixes.nbytes)
    ask(engine, ("user", "question 0, which nothing but the system prompt shares"))
    for number in range(1, 10):
        answer = ask(engine, ("user", f"{number} is the number of this one, which shares no more"))
        assert cached(answer) >= length(engine, SYSTEM), number


def test_two_debates_in_turn_are_both_found_again(engine: SteppedEngine) -> None:
    talks: list[list[tuple[str, str]]] = [[("user", f"{name}, you have the floor")] for name in ("Ada", "Ben")]
    for number in range(3):
        for talk in talks:
            known = length(engine, SYSTEM, *talk[:-2]) if number else 0
            answer = ask(engine, *talk)
            assert cached(answer) >= known
            talk += [("assistant", answer.text), ("user", f"the other one says {number}")]


def test_a_last_turn_that_is_edited_costs_that_turn(engine: SteppedEngine) -> None:
    # The assistant's text is not this engine's own output, so that only the prompts can be found.
    before = [("user", "where is it that the sea begins?"), ("assistant", "where the land ends, I should think")]
    ask(engine, *before, ("user", "and where does it end?"))
    edited = ask(engine, *before, ("user", "who says so?"))
    assert cached(edited) >= length(engine, SYSTEM, *before)


def test_a_turn_without_the_previous_generation_prompt_finds_the_rest(tmp_path: Path) -> None:
    for family in FAMILIES:
        engine = made(family, tmp_path / family, THINKING)
        question = ("user", "what does the sea say to the land all day?")
        answer = ask(engine, question)
        again = ask(engine, question, ("assistant", answer.text), ("user", "and what is the reply?"))
        assert cached(again) >= length(engine, SYSTEM, question), family


def test_the_same_question_is_found_but_for_its_last_token(engine: SteppedEngine) -> None:
    question = ("user", "the same again, and again the same")
    first, second = ask(engine, question), ask(engine, question)
    assert first.accepted is not None
    assert cached(second) == first.accepted.prompt_tokens - 1
    assert second.text == first.text


@pytest.mark.parametrize("together", [True, False])
def test_a_prompt_of_another_salt_is_not_found(engine: SteppedEngine, together: bool) -> None:
    asked = chat(SYSTEM, ("user", "a question that is quite long, and that two clients have"))
    how: dict[str, Any] = {"sampling": NO_END, "max_tokens": 20}
    first = engine.submit("first", asked, cache_salt="one", **how)
    for _ in range(10):
        engine.step()
    if not together:
        engine.run()
    others = [engine.submit(f"other {salt}", asked, cache_salt=salt, **how) for salt in ("other", "", "one")]
    engine.run()
    assert [cached(other) > 0 for other in others] == [False, False, True]
    assert {other.text for other in others} == {first.text}
    again = [engine.ask(f"again {salt}", asked, cache_salt=salt, **how) for salt in ("other", "", "one", "new")]
    assert [cached(each) > 0 for each in again] == [True, True, True, False]


QUESTION = ("user", "what does the sea say to the land, all day and all night long, year after year?")


@pytest.mark.parametrize("family", ["attention", "sliding window", "hybrid"])
def test_a_conversation_goes_on_after_a_restart(tmp_path: Path, family: str) -> None:
    folder = FAMILIES[family](tmp_path / "model", max_position_embeddings=2048)

    def engine(**spec: Any) -> SteppedEngine:
        return SteppedEngine(folder, warmup=False, prefix_cache_dir=str(tmp_path / "prompts"), **spec)

    before = engine()
    first = before.ask("first", chat(QUESTION), sampling=NO_END, max_tokens=6)
    while before.engine.use_idle_time():
        pass
    talk = chat(QUESTION, ("assistant", first.text), ("user", "and then?"))
    after = engine()
    second = after.ask("second", talk, sampling=NO_END, max_tokens=6)
    assert first.accepted is not None
    assert cached(second) >= first.accepted.prompt_tokens - BLOCK
    nothing = SteppedEngine(folder, warmup=False, prefix_cache_bytes=0)
    assert second.text == nothing.ask("same", talk, sampling=NO_END, max_tokens=6).text


def test_an_engine_that_ends_on_request_writes_its_prefix_cache(
    tiny_folder: Path, tmp_path: Path, start: Callable[..., EngineClient]
) -> None:
    prompt = "a prompt that somebody will come back to, and it is a rather long one, so that it is worth it"
    for expected in (False, True):
        client = start()
        client.load(str(tiny_folder), prefix_cache_dir=str(tmp_path), warmup=False)
        answer = client.ask("again", prompt, sampling=NO_END, max_tokens=3)
        assert (cached(answer) > 0) is expected
        assert "Traceback" not in client.close()
        assert client.process.returncode == 0
