"""Grammars compiled in a process of their own: bounded in time, and none can end the engine."""

from __future__ import annotations

import os
import signal
import threading

import msgspec
import pytest

from providers.chat.types import ChatPrompt, Grammar, JsonSchemaGrammar, RegexGrammar, Tool
from providers.engines.structured.compiler import GrammarCompiler, NotCompiled
from providers.engines.structured.constraint import Constraint
from providers.engines.structured.token_table import describe
from providers.engines.structured.writing import WritingProcesses
from providers.errors import InvalidRequest
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.constrained_answers import SIZE, TOKENIZER, HuggingFace, compile_answer

TOKENS = HuggingFace(backend_tokenizer=TOKENIZER)
ENDLESS = JsonSchemaGrammar(
    {
        "type": "object",
        "properties": {f"p{number}": {"type": "integer", "multipleOf": 19_997 - number} for number in range(500)},
    }
)
"""llguidance needs minutes and gigabytes for it."""


def constraint(grammar: Grammar) -> Constraint:
    return Constraint(param="x", answer=grammar)


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return GrammarCompiler(TOKENS, SIZE, [tiny.END], seconds=30.0)


@pytest.fixture(scope="module")
def hasty() -> GrammarCompiler:
    return GrammarCompiler(TOKENS, SIZE, [tiny.END], seconds=0.5)


def test_a_schema_that_compiles_for_too_long_is_refused_and_the_next_compiles(hasty: GrammarCompiler) -> None:
    with pytest.raises(InvalidRequest, match=r"longer than 0\.5 seconds to compile") as caught:
        hasty.compile(constraint(ENDLESS))
    assert caught.value.param == "x"
    assert hasty.compile(constraint(RegexGrammar("a+"))).given_up == ()


def test_all_grammars_of_a_request_share_its_time(hasty: GrammarCompiler) -> None:
    time = hasty.time()
    with pytest.raises(InvalidRequest, match="longer"):
        hasty.compile(constraint(ENDLESS), time)
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    prompt = ChatPrompt(messages=[], tools=[Tool("write", parameters=text, lark='start: "a"')])
    with pytest.raises(InvalidRequest, match="longer"):
        hasty.with_held_grammars(prompt, time)


def test_the_other_process_finds_the_same_form_and_the_same_faults(compiler: GrammarCompiler) -> None:
    loose = JsonSchemaGrammar({"type": "array", "uniqueItems": True, "items": {"enum": [1, "é", None]}}, strict=False)
    here, there = compile_answer(loose), compiler.compile(constraint(loose))
    assert there.given_up == here.given_up == ("x.uniqueItems",)

    wrong = JsonSchemaGrammar({"type": "object", "properties": {"a": {"type": "strin"}}})
    with pytest.raises(InvalidRequest) as caught:
        compiler.compile(constraint(wrong))
    with pytest.raises(InvalidRequest) as expected:
        compile_answer(wrong)
    assert caught.value.to_fields() == expected.value.to_fields()


def test_a_caller_that_does_not_wait_gets_only_what_is_cached(compiler: GrammarCompiler) -> None:
    asked = constraint(RegexGrammar("not yet"))
    with pytest.raises(NotCompiled):
        compiler.compile(asked, may_wait=False)
    assert compiler.compile(asked) is compiler.compile(asked, may_wait=False)


def test_the_death_of_a_process_fails_its_request_and_no_other() -> None:
    processes = WritingProcesses(describe(TOKENS, SIZE, [tiny.END]), 1.0)
    with processes.borrowed() as process:
        pid = process.pid
        killer = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(InvalidRequest, match="too complex"):
            process.write(msgspec.json.encode(constraint(ENDLESS)), 30.0, "x", 30.0)
    with processes.borrowed() as process:
        assert process.pid != pid
        written = process.write(msgspec.json.encode(constraint(RegexGrammar("a+"))), 30.0, "x", 30.0)
        assert "a+" in written.source
        process.close()
