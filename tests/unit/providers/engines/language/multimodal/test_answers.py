"""Answers about pictures are those of mlx-vlm's own generator, and all that text has works for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from providers.chat.types import (
    ChatPrompt,
    RegexGrammar,
    SamplingParams,
    Tool,
)
from tests.unit.providers.engines import tiny_vision
from tests.unit.providers.engines.language.multimodal.seeing import (
    OTHERS,
    PROMPTS,
    TOKENS,
    Judge,
    Seeing,
    raws,
)
from tests.unit.providers.engines.tiny_vision import chat, picture


def test_answers_are_those_of_mlx_vlm(seeing: Seeing, judge: Judge) -> None:
    for number, parts in enumerate(PROMPTS):
        answer = seeing.tokens(f"alone {number}", *parts)
        seeing.run()
        assert raws(answer) == judge(*parts), parts


def test_they_are_the_same_in_a_batch_with_texts(folder: Path, judge: Judge) -> None:
    seeing = Seeing(folder)

    answers = [seeing.tokens(f"{number}", *parts) for number, parts in enumerate(PROMPTS)]
    seeing.run()

    for parts, answer in zip(PROMPTS, answers, strict=True):
        assert raws(answer) == judge(*parts), parts


@pytest.mark.parametrize("step", [1, 7])
def test_they_are_the_same_when_chunks_cut_pictures(folder: Path, judge: Judge, step: int) -> None:
    seeing = Seeing(folder, prefill_step_size=step)

    for number, parts in enumerate(PROMPTS[:3]):
        answer = seeing.tokens(f"{number}", *parts)
        seeing.run()
        assert raws(answer) == judge(*parts), parts


@pytest.mark.parametrize("model_type", OTHERS)
def test_other_architectures_answer_as_mlx_vlm_too(tmp_path: Path, model_type: str) -> None:
    folder = tiny_vision.write_folder(tmp_path, model_type)
    seeing = Seeing(folder, prefill_step_size=9)
    judge = Judge(folder, model_type, seeing)

    answers = [seeing.tokens(f"{number}", *parts) for number, parts in enumerate(PROMPTS)]
    seeing.run()

    for parts, answer in zip(PROMPTS, answers, strict=True):
        assert raws(answer) == judge(*parts), parts


def test_another_picture_gives_other_probabilities(seeing: Seeing) -> None:
    answers = [seeing.tokens(f"{place}", "what?", picture(seed), "!") for place, seed in enumerate((1, 2, 1))]
    seeing.run()

    one, two, again = [answer.logprobs[0].logprob for answer in answers]
    assert one == pytest.approx(again, abs=1e-4)
    assert abs(one - two) > 1e-3


def test_several_answers_share_the_picture(folder: Path, judge: Judge) -> None:
    seeing = Seeing(folder)

    answer = seeing.tokens("several", *PROMPTS[0], n=3)
    seeing.run()

    assert raws(answer) == judge(*PROMPTS[0])
    assert answer.text_of(0) == answer.text_of(1) == answer.text_of(2)
    assert seeing.runs == 1


def test_a_seed_repeats_an_answer(seeing: Seeing) -> None:
    drawn = SamplingParams(temperature=1.0, seed=5, repetition_penalty=1.3, presence_penalty=0.5)
    answers = [seeing.tokens(f"drawn {number}", *PROMPTS[2], sampling=drawn) for number in range(2)]
    seeing.run()

    assert raws(answers[0]) == raws(answers[1])


def test_a_grammar_holds_an_answer_about_a_picture(seeing: Seeing) -> None:
    answer = seeing.ask("constrained", chat(*PROMPTS[0]), max_tokens=TOKENS, grammar=RegexGrammar("(yes|no){2}"))

    assert answer.failed is None
    assert re.fullmatch("(yes|no){2}", answer.text)


def test_a_model_with_pictures_can_have_tools(seeing: Seeing) -> None:
    asked = chat(*PROMPTS[0])
    tools = [Tool(name="look", description="Look closer.", parameters={"type": "object", "properties": {}})]

    answer = seeing.ask("tools", ChatPrompt(messages=asked.messages, tools=tools), max_tokens=TOKENS)
    plain = seeing.ask("none", asked, max_tokens=TOKENS)

    assert answer.failed is None
    assert answer.accepted is not None
    assert plain.accepted is not None
    assert answer.accepted.prompt_tokens > plain.accepted.prompt_tokens
