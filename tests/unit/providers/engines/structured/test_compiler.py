"""Constraints as they are compiled: grammars, thoughts, tool calls, and the cache."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat.types import (
    ChoiceGrammar,
    Grammar,
    JsonObjectGrammar,
    JsonSchemaGrammar,
    LarkGrammar,
    RegexGrammar,
    Tool,
    ToolChoice,
)
from providers.engines.structured.compiler import GrammarCompiler
from providers.engines.structured.constraint import Constraint, Thought, ToolMarkup
from providers.errors import InvalidRequest, UnsupportedParameter
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.constrained_answers import (
    CLOSING,
    LIMITS,
    PADDING,
    PERSON,
    PROMPT,
    SIZE,
    TOKENIZER,
    HuggingFace,
    answer,
    compile_answer,
    compile_calls,
    constrained,
    preferences,
    refusal,
)
from tests.unit.providers.engines.random_schemas import assert_valid


@pytest.mark.parametrize("pattern", [r"\d{3}-\d{4}", "(ja|nein)/[a-z]{1,3}", '^"é?"$', "[^a-z]{2}", r"\\\n"])
@pytest.mark.parametrize("seed", range(4))
def test_text_matches_its_regular_expression(pattern: str, seed: int) -> None:
    made = constrained(RegexGrammar(pattern), seed)
    assert made.ended
    assert re.fullmatch(pattern, made.text)


@LIMITS
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1, max_size=5), st.integers(0, 99))
def test_the_answer_is_one_of_the_choices_whatever_its_characters(choices: list[str], seed: int) -> None:
    made = constrained(ChoiceGrammar(choices), seed)
    assert made.ended
    assert b"".join(map(_bytes, made.ids)).decode() in choices


def _bytes(token: int) -> bytes:
    """Added tokens stand for themselves, the others for bytes."""
    from providers.engines.output.detokenizer import _byte_level_bytes

    return _byte_level_bytes(TOKENIZER.id_to_token(token))


@pytest.mark.parametrize("seed", range(4))
def test_text_follows_its_lark_grammar(seed: int) -> None:
    made = constrained(LarkGrammar('start: sum\nsum: NUMBER ("+" NUMBER){1,3}\nNUMBER: /[1-9][0-9]?/'), seed)
    assert made.ended
    assert re.fullmatch(r"[1-9][0-9]?(\+[1-9][0-9]?){1,3}", made.text)


@pytest.mark.parametrize("seed", range(4))
def test_text_follows_its_grammar_in_gbnf(seed: int) -> None:
    gbnf = 'root ::= sum\n# a sum\nsum ::= number ("+" number){1,3}\nnumber ::= [1-9] [0-9]?\n'
    made = constrained(LarkGrammar(gbnf), seed)
    assert made.ended
    assert re.fullmatch(r"[1-9][0-9]?(\+[1-9][0-9]?){1,3}", made.text)


@pytest.mark.parametrize(
    "grammar",
    [
        LarkGrammar('root ::= ("a"'),
        LarkGrammar("start ::= missing"),
        LarkGrammar("root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000),
        RegexGrammar("(a"),
        RegexGrammar("a\\"),
        RegexGrammar(r"\bword"),
        RegexGrammar("(" * 20_000 + ")" * 20_000),
        RegexGrammar("a" * 40_000),
        RegexGrammar("\udfff"),
        LarkGrammar(""),
        LarkGrammar("start: missing"),
        LarkGrammar("start: start"),
        LarkGrammar('start: %json {"not": {}}'),
        LarkGrammar("start: " + "(" * 20_000 + '"a"' + ")" * 20_000),
        ChoiceGrammar([]),
        ChoiceGrammar(["\ud800"]),
        ChoiceGrammar(["x"] * 5000),
    ],
)
def test_bad_grammars_are_refused(grammar: Grammar) -> None:
    assert refusal(grammar, param="guided").param == "guided"


def test_a_tokenizer_without_a_vocabulary_of_its_own_is_refused() -> None:
    with pytest.raises(UnsupportedParameter):
        GrammarCompiler(HuggingFace(backend_tokenizer=None), 10, [0]).compile(
            Constraint(param="x", answer=JsonObjectGrammar())
        )
    with pytest.raises(UnsupportedParameter):
        GrammarCompiler(HuggingFace(backend_tokenizer=TOKENIZER), SIZE, []).compile(
            Constraint(param="x", answer=JsonObjectGrammar())
        )


# ── thoughts and tools ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("thought", [Thought(is_open=True), Thought(end="[/T]", is_open=True)])
@pytest.mark.parametrize("seed", range(4))
def test_the_answer_is_constrained_and_the_thought_before_it_is_free(thought: Thought, seed: int) -> None:
    compiled = compile_answer(JsonSchemaGrammar(PERSON), thought=thought)
    wanted = {"</think>": 3.0, "[": 2.0, "/": 2.0, "T": 2.0}
    processor = compiled.processor()
    random = np.random.default_rng(seed)
    fed, ids = list(PROMPT), []
    script = TOKENIZER.encode("well {, <|", add_special_tokens=False).ids
    script += TOKENIZER.encode(thought.end, add_special_tokens=False).ids
    bias = preferences({**CLOSING, "<|end|>": 3.0, **wanted})
    for step in range(300):
        raw = mx.array(random.gumbel(size=(1, SIZE + PADDING)) + bias)
        logits = processor(mx.array(fed), raw)
        token = script[step] if step < len(script) else int(mx.argmax(logits).item())
        assert np.isfinite(np.array(logits))[0, token]
        if token == tiny.END:
            break
        fed.append(token)
        ids.append(token)
    spoken = TOKENIZER.decode(ids, skip_special_tokens=False).split(thought.end, 1)[1]
    assert re.match(r"\n{0,2}\{", spoken)
    assert_valid(spoken, PERSON)


def test_a_model_may_think_first_or_answer_immediately() -> None:
    compiled = compile_answer(ChoiceGrammar(["yes", "no"]), thought=Thought())
    thinking = answer(compiled.processor(), 1, wanted={"<think>": 20.0, "</think>": 20.0})
    direct = answer(compiled.processor(), 1, wanted={"<think>": -20.0})
    assert re.fullmatch(r"<think>.*</think>\n{0,2}(yes|no)", thinking.text, re.DOTALL)
    assert direct.text in ("yes", "no")


MARKUP = ToolMarkup(begin="<tool_call>\n", end="\n</tool_call>")
PLAIN_MARKUP = ToolMarkup(begin="[CALL]", end="[/CALL]", opening="[[", closing="]]", arguments_key="parameters")
TOOLS = [
    Tool(
        "weather",
        parameters={
            "properties": {"unit": {"$ref": "#/$defs/unit"}, "city": {"enum": ["Köln", "Łódź"]}},
            "required": ["unit", "city"],
            "additionalProperties": False,
            "$defs": {"unit": {"enum": ["°C", "°F"]}},
        },
        strict=True,
    ),
    Tool("now"),
]


def calls(text: str, markup: ToolMarkup) -> list[dict[str, Any]]:
    begin, end = re.escape(markup.begin.strip()), re.escape(markup.end.strip())
    return [json.loads(found) for found in re.findall(f"{begin}(.*?){end}", text, re.DOTALL)]


def assert_calls(found: Sequence[dict[str, Any]], arguments: str) -> None:
    for call in found:
        assert list(call) == ["name", arguments]
        tool = next(tool for tool in TOOLS if tool.name == call["name"])
        assert_valid(json.dumps(call[arguments]), tool.parameters or {"const": {}})


@pytest.mark.parametrize("markup", [MARKUP, PLAIN_MARKUP])
@pytest.mark.parametrize("seed", range(4))
def test_required_tools_are_called_with_valid_arguments(markup: ToolMarkup, seed: int) -> None:
    compiled = compile_calls(TOOLS, ToolChoice("required"), markup)
    made = answer(compiled.processor(), seed)
    assert made.ended
    assert made.text.startswith(markup.opening + markup.begin)
    assert made.text.endswith(markup.end + markup.closing)
    found = calls(made.text, markup)
    assert 1 <= len(found) <= 16
    assert_calls(found, markup.arguments_key)


def test_a_named_tool_is_the_one_called_and_once_when_calls_are_not_parallel() -> None:
    compiled = compile_calls(TOOLS, ToolChoice("required", "now", parallel=False), MARKUP)
    assert answer(compiled.processor(), 2).text == '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


def test_under_auto_text_is_free_and_a_call_once_begun_is_valid() -> None:
    for markup, wanted in ((MARKUP, {"<tool_call>": 2.0}), (PLAIN_MARKUP, {"[": 6.0, "C": 3.0})):
        compiled = compile_calls(TOOLS, ToolChoice(), markup)
        made = [answer(compiled.processor(), seed, wanted=wanted, tokens=300) for seed in range(6)]
        assert any(one.text and not calls(one.text, markup) for one in made) or markup is PLAIN_MARKUP
        for one in made:
            assert one.processor.failure is None
            assert_calls(calls(one.text, markup), markup.arguments_key)


def test_a_scripted_call_amid_text_is_followed() -> None:
    compiled = compile_calls(TOOLS, ToolChoice(), PLAIN_MARKUP)
    processor = compiled.processor()
    text = 'It is [CALL late. [CALL] {"name": "now", "parameters": {}} and'
    ids = TOKENIZER.encode(text, add_special_tokens=False).ids
    fed, held = list(PROMPT), []
    for token in ids:
        allowed = np.isfinite(np.array(processor(mx.array(fed), mx.zeros((1, SIZE)))))[0]
        held.append(bool(allowed[token]))
        fed.append(token)
        if not allowed[token]:
            break
    assert all(held[: len(TOKENIZER.encode(text.removesuffix(" and"), add_special_tokens=False).ids)])
    assert not held[-1], "nothing but the end of the call may follow its arguments"


@pytest.mark.parametrize(
    ("tools", "choice", "param"),
    [
        (
            [Tool("f", parameters={"properties": {"a": {"not": {"pattern": "b"}}}}, strict=True)],
            ToolChoice("required"),
            "properties.a.not",
        ),
        ([Tool("f", parameters={"type": "array"}, strict=True)], ToolChoice("required"), "type"),
        ([Tool("f", parameters={"type": "array"}, strict=True)], ToolChoice(), "type"),
    ],
)
def test_an_unsupported_strict_tool_is_refused_by_its_place(tools: list[Tool], choice: ToolChoice, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        compile_calls([Tool("other"), *tools], choice, MARKUP)
    assert caught.value.param == f"tools[1].function.parameters.{param}"


@pytest.mark.parametrize(
    ("parameters", "given_up"),
    [
        ({"properties": {"a": {"not": {"pattern": "b"}}}}, [".properties.a.not"]),
        ({"properties": {"to": {"type": "string", "pattern": "b(?!a)"}}}, [".properties.to.pattern"]),
        ({"type": "array"}, [""]),
        ({"type": ["object", "null"], "not": {}}, [".not"]),
        ({"type": "strin"}, [""]),
        ({"properties": {"a": {"enum": []}}, "required": ["a"]}, [""]),
        ({"$ref": "#"}, [".$ref"]),
        ({"description": "x" * 300_000}, [""]),
    ],
)
def test_a_required_tool_that_is_not_strict_never_fails(parameters: dict[str, Any], given_up: list[str]) -> None:
    compiled = compile_calls([Tool("f", parameters=parameters), Tool("other")], ToolChoice("required", "f"), MARKUP)
    assert list(compiled.given_up) == [f"tools[0].function.parameters{path}" for path in given_up]
    made = answer(compiled.processor(), 1)
    assert made.processor.failure is None
    if made.ended:
        assert all(isinstance(call["arguments"], dict) for call in calls(made.text, MARKUP))


def numbered(count: int) -> list[Tool]:
    parameters = {"type": "object", "properties": {"q": {"type": "string"}, "n": {"type": "integer"}}}
    return [Tool(f"t{number:03d}", parameters={**parameters, "required": ["q"]}) for number in range(count)]


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice()])
def test_an_agent_s_many_tools_are_one_grammar(choice: ToolChoice) -> None:
    """142 is what one agent with a few MCP servers sends."""
    made = answer(compile_calls(numbered(142), choice, MARKUP).processor(), 1, tokens=60)
    assert made.processor.failure is None


def test_a_thousand_tools_are_the_limit() -> None:
    assert compile_calls(numbered(1024), ToolChoice("required"), MARKUP)
    with pytest.raises(InvalidRequest, match="at most 1024 tools can be called, not 1025"):
        compile_calls(numbered(1025), ToolChoice("required"), MARKUP)


def test_an_unknown_tool_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no tool named 'nope'"):
        compile_calls(TOOLS, ToolChoice("required", "nope"), MARKUP)


# ── the cache ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_equal_grammars_are_compiled_once_and_the_cache_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    nbytes = compile_answer(RegexGrammar("a0")).nbytes
    monkeypatch.setattr("providers.engines.structured.compiler.KEPT_BYTES", 5 * nbytes)
    compiler = GrammarCompiler(HuggingFace(backend_tokenizer=TOKENIZER), SIZE, [tiny.END])
    patterns = [Constraint(param="x", answer=RegexGrammar(f"a{number}")) for number in range(5)]
    first = compiler.compile(patterns[0])
    for pattern in patterns[1:]:
        compiler.compile(pattern)
    assert compiler.compile(Constraint(param="x", answer=RegexGrammar("a0"))) is first
    compiler.compile(Constraint(param="x", answer=RegexGrammar("b" * 100)))
    assert compiler.compile(patterns[0]) is first
    for pattern in patterns[1:]:
        compiler.compile(pattern)
    compiler.compile(Constraint(param="x", answer=RegexGrammar("c" * 100)))
    assert compiler.compile(patterns[0]) is not first


def test_schemas_that_differ_in_the_order_of_properties_are_different() -> None:
    one = {"properties": {"a": {}, "b": {}}}
    other = {"properties": {"b": {}, "a": {}}}
    first = compile_answer(JsonSchemaGrammar(one))
    assert compile_answer(JsonSchemaGrammar(other)) is not first
