"""Grammars through the language-model engine: every output follows its own, whatever else is in the batch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    ChoiceGrammar,
    Grammar,
    JsonObjectGrammar,
    JsonSchemaGrammar,
    LarkGrammar,
    Prompt,
    RegexGrammar,
    SamplingParams,
    TextPrompt,
    Tool,
    ToolChoice,
)
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import EngineClient, chat
from tests.unit.providers.engines.inprocess import SteppedEngine

WILD = SamplingParams(temperature=1.5)
NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
POINT = JsonSchemaGrammar(
    {
        "type": "object",
        "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 99}, "name": {"enum": ["a", "b"]}},
        "required": ["x", "name"],
        "additionalProperties": False,
    }
)
TOOL = Tool(
    "get_time",
    parameters={"type": "object", "properties": {"zone": {"enum": ["UTC", "CET"]}}, "additionalProperties": False},
)


@pytest.mark.parametrize("prompt", [TextPrompt("a point:"), chat(("user", "a point, please"))], ids=["text", "chat"])
def test_answers_at_a_high_temperature_follow_the_schema(roomy: EngineClient, prompt: Prompt) -> None:
    answers = [roomy.generate(f"p{number}", prompt, sampling=WILD, grammar=POINT, max_tokens=80) for number in range(8)]
    roomy.wait(*answers)
    for answer in answers:
        held = json.loads(answer.text)
        assert set(held) == {"x", "name"}
        assert 0 <= held["x"] <= 99
        assert answer.finished is not None
        assert answer.finished.finish_reason == "stop"


@pytest.mark.parametrize(
    ("grammar", "pattern"),
    [
        (ChoiceGrammar(["red", "green", "deep blue"]), "red|green|deep blue"),
        (RegexGrammar("[0-9]{3}-[a-z]{2}"), "[0-9]{3}-[a-z]{2}"),
        (LarkGrammar('start: "<" ("yes" | "no") ">"'), "<(yes|no)>"),
    ],
)
def test_answers_follow_other_grammars_too(roomy: EngineClient, grammar: Grammar, pattern: str) -> None:
    answer = roomy.ask("other", TextPrompt("x"), sampling=WILD, grammar=grammar, max_tokens=30)
    assert re.fullmatch(pattern, answer.text)


def test_neighbours_in_the_batch_are_not_constrained(roomy: EngineClient) -> None:
    alone = roomy.ask("alone", TextPrompt("free"), sampling=NO_END, max_tokens=20).text
    held = [roomy.generate(f"h{i}", TextPrompt("x"), sampling=WILD, grammar=POINT, max_tokens=200) for i in range(3)]
    free = roomy.generate("free", TextPrompt("free"), sampling=NO_END, max_tokens=20)
    roomy.wait(free, *held)
    assert free.text == alone
    assert all(json.loads(answer.text) for answer in held)


def test_an_answer_cut_in_the_middle_reports_length(roomy: EngineClient) -> None:
    answer = roomy.ask("cut", TextPrompt("x"), sampling=WILD, grammar=POINT, max_tokens=5)
    assert answer.finished is not None
    assert answer.finished.finish_reason == "length"


@pytest.mark.parametrize(
    ("grammar", "param"),
    [
        (JsonSchemaGrammar({"properties": {"x": {"$ref": "#/nowhere"}}}), "here.properties.x.$ref"),
        (RegexGrammar("[a-"), "here"),
        (ChoiceGrammar([]), "here"),
        (LarkGrammar("nonsense"), "here"),
    ],
)
def test_an_unsupported_grammar_is_refused_with_its_path(roomy: EngineClient, grammar: Grammar, param: str) -> None:
    failed = roomy.ask("refused", TextPrompt("x"), grammar=grammar, grammar_param="here", max_tokens=5).failed
    assert failed is not None
    assert (failed.code, failed.param) == ("invalid_request_error", param)


def test_a_grammar_that_fails_makes_the_answer_fail_instead_of_stop(roomy_folder: Path) -> None:
    engine = SteppedEngine(roomy_folder)
    answer = engine.submit("broken", "x", sampling=WILD, grammar=JsonObjectGrammar(), max_tokens=200)
    while not answer.deltas:
        engine.step()
    (row,) = engine.engine._sequences.values()
    assert row.grammar is not None
    row.grammar.failure = "the grammar became too complex"
    engine.run()
    assert answer.finished is None
    assert answer.failed is not None
    assert (answer.failed.code, answer.failed.param) == ("invalid_request_error", "response_format")
    assert "too complex" in answer.failed.message


@pytest.mark.parametrize(("bias", "calls"), [(-100.0, False), (100.0, True)])
@pytest.mark.parametrize("strict", [False, True])
def test_if_calls_are_the_models_choice_the_grammar_constrains_the_answers_that_do_not_call(
    roomy: EngineClient, bias: float, calls: bool, strict: bool
) -> None:
    tool = Tool(TOOL.name, parameters=TOOL.parameters, strict=strict)
    prompt = ChatPrompt(
        messages=[ChatMessage(role="user", content="?")], tools=[tool], tool_choice=ToolChoice(parallel=False)
    )
    likely: Any = {sorted(tiny.BYTES).index("<") + len(tiny.SPECIAL): bias}
    sampling = SamplingParams(temperature=1.0, seed=1, logit_bias=likely)
    answer = roomy.ask("either", prompt, sampling=sampling, grammar=ChoiceGrammar(["yes", "no"]), max_tokens=300)
    assert answer.finished is not None
    if not calls:
        assert answer.text in ("yes", "no")
        assert answer.finished.finish_reason == "stop"
        return
    assert answer.text == ""
    assert [name for name, _ in answer.calls] == ["get_time"]
    if strict:
        assert json.loads(answer.calls[0][1]).get("zone") in ("UTC", "CET", None)


def test_a_schema_that_compiles_for_too_long_is_refused_and_holds_up_no_other(
    start: Callable[..., EngineClient], roomy_folder: Path
) -> None:
    client = start()
    client.load(str(roomy_folder), grammar_timeout=2.0)
    endless = {f"p{number}": {"type": "integer", "multipleOf": 19_997 - number} for number in range(500)}
    slow = client.generate("slow", "a", grammar=JsonSchemaGrammar({"properties": endless}), grammar_param="it")
    quick = client.ask("quick", "b", max_tokens=2)
    assert quick.finished is not None
    assert not slow.ended
    client.wait(slow)
    assert slow.failed is not None
    assert (slow.failed.code, slow.failed.param) == ("invalid_request_error", "it")
    assert "longer than 2 seconds to compile" in slow.failed.message
    assert client.ask("held", "a", grammar=ChoiceGrammar(["yes"]), max_tokens=8).text == "yes"
