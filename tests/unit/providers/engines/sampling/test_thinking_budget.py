"""`max_reasoning_tokens`: reasoning ends after exactly that many tokens, and content follows."""

from __future__ import annotations

import json

import pytest

from providers.chat.types import ChatMessage, ChatPrompt, ChoiceGrammar, SamplingParams, Tool, ToolChoice
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import EngineClient, chat

END_MARKER = len("</think>")
"""In tokens: the tiny tokenizer spells it with bytes."""
OPENED = chat(("user", "think"), suffix="<think>\n")
NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
WILD = SamplingParams(temperature=1.2, seed=5, logit_bias={tiny.END: -100.0})


@pytest.mark.parametrize("budget", [0, 1, 7])
@pytest.mark.parametrize("sampling", [NO_END, WILD], ids=["greedy", "sampled"])
def test_a_thought_ends_at_its_budget_and_the_answer_follows(
    thinker: EngineClient, budget: int, sampling: SamplingParams
) -> None:
    request = {"sampling": sampling, "max_reasoning_tokens": budget}
    answer = thinker.ask("budget", OPENED, max_tokens=budget + END_MARKER + 12, **request)
    assert answer.finished is not None
    # An incomplete character may have received up to three more tokens.
    thought = answer.finished.usage.reasoning_tokens - END_MARKER
    assert budget <= thought <= budget + 3
    assert answer.text
    assert "think>" not in answer.text + answer.reasoning


def test_the_thought_is_the_one_that_would_have_gone_on(thinker: EngineClient) -> None:
    free = thinker.ask("free", OPENED, sampling=NO_END, max_tokens=20)
    bound = thinker.ask("bound", OPENED, sampling=NO_END, max_tokens=40, max_reasoning_tokens=10)
    assert bound.reasoning
    assert free.reasoning.startswith(bound.reasoning)


def test_it_holds_for_each_row_of_a_batch(thinker: EngineClient) -> None:
    budgets = [3, 9, None, 20]
    answers = [
        thinker.generate(f"row{i}", OPENED, sampling=WILD, max_tokens=50, max_reasoning_tokens=budget, n=2)
        for i, budget in enumerate(budgets)
    ]
    thinker.wait(*answers)
    for answer, budget in zip(answers, budgets, strict=True):
        for finished in answer.finishes.values():
            tokens = finished.usage.reasoning_tokens
            assert tokens == 50 if budget is None else budget <= tokens - END_MARKER <= budget + 3


def test_a_grammar_takes_over_where_the_thought_was_closed(thinker: EngineClient) -> None:
    grammar = ChoiceGrammar(["yes", "no"])
    sampling = SamplingParams(temperature=1.2, seed=4)
    answer = thinker.ask(
        "held", OPENED, sampling=sampling, max_tokens=60, max_reasoning_tokens=6, grammar=grammar, top_logprobs=2
    )
    assert answer.reasoning
    assert answer.text in ("yes", "no")
    assert b"".join(told.raw for told in answer.logprobs).decode() == answer.text
    assert answer.finished is not None
    assert answer.finished.finish_reason == "stop"


def test_a_required_call_follows_a_closed_thought(thinker: EngineClient) -> None:
    tool = Tool("get_time", parameters={"type": "object", "properties": {}, "additionalProperties": False})
    prompt = ChatPrompt(
        messages=[ChatMessage(role="user", content="?")],
        template_kwargs={"suffix": "<think>"},
        tools=[tool],
        tool_choice=ToolChoice("required", parallel=False),
    )
    sampling = SamplingParams(temperature=1.2, seed=2)
    answer = thinker.ask("call", prompt, sampling=sampling, max_tokens=150, max_reasoning_tokens=8)
    assert answer.reasoning
    assert [(name, json.loads(arguments)) for name, arguments in answer.calls] == [("get_time", {})]


def test_an_answer_without_a_thought_stays_unchanged(thinker: EngineClient) -> None:
    prompt = chat(("user", "do not think"))
    free = thinker.ask("free", prompt, sampling=NO_END, max_tokens=16)
    bound = thinker.ask("bound", prompt, sampling=NO_END, max_tokens=16, max_reasoning_tokens=0)
    assert (bound.text, bound.reasoning) == (free.text, "")
