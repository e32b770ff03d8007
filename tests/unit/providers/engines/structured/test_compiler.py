"""Constrained output, with random numbers in the model's place: whatever it prefers, the answer is valid."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlx_lm.generate import BatchGenerator
from mlx_lm.models import llama
from tokenizers import AddedToken, Tokenizer

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
from providers.engines.structured.compiler import CompiledGrammar, GrammarCompiler
from providers.engines.structured.constraint import Calls, Constraint, Thought, ToolMarkup
from providers.engines.structured.processor import BatchTokens, GrammarProcessor
from providers.errors import InvalidRequest, UnsupportedParameter
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.random_schemas import assert_valid, schemas, wild_schemas

PROMPT = [tiny.START, 40, 41]
PADDING = 9
"""Logits wider than the vocabulary, as real models have them."""
ADDED = ["<think>", "</think>", "<tool_call>", "</tool_call>"]
CLOSING = {'"': 3.0, "}": 3.0, "]": 3.0, ",": 1.0, ":": 1.0}
"""What a model tends to, lest random strings go on for hundreds of tokens."""
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
LIMITS = settings(
    max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@attrs.frozen(kw_only=True)
class HuggingFace:
    """What the compiler uses of a Hugging Face tokenizer."""

    backend_tokenizer: Tokenizer | None


@attrs.frozen(kw_only=True)
class Answer:
    text: str
    ids: list[int]
    ended: bool
    processor: GrammarProcessor


def _tokenizer() -> Tokenizer:
    made = tiny.tokenizer()
    made.add_tokens([AddedToken(token, special=False) for token in ADDED])
    made.add_special_tokens([AddedToken("<|call|>", special=True)])
    return made


TOKENIZER = _tokenizer()
SIZE = TOKENIZER.get_vocab_size()
COMPILER = GrammarCompiler(HuggingFace(backend_tokenizer=TOKENIZER), SIZE, [tiny.END])


def compile_answer(grammar: Grammar, *, param: str = "x", **how: Any) -> CompiledGrammar:
    return COMPILER.compile(Constraint(param=param, answer=grammar, **how))


def compile_calls(tools: Sequence[Tool], choice: ToolChoice, markup: ToolMarkup) -> CompiledGrammar:
    return COMPILER.compile(Constraint(param="tools", calls=Calls(markup=markup, tools=tuple(tools), choice=choice)))


def preferences(wanted: dict[str, float]) -> np.ndarray:
    bias = np.zeros(SIZE + PADDING)
    for token, value in wanted.items():
        bias[TOKENIZER.token_to_id(token)] = value
    return bias


def answer(
    processor: GrammarProcessor,
    seed: int,
    *,
    tokens: int = 600,
    wanted: dict[str, float] | None = None,
    width: int = SIZE + PADDING,
    dtype: mx.Dtype = mx.float32,
) -> Answer:
    """Sample with random logits at temperature 1.5, as BatchGenerator calls a processor."""
    random = np.random.default_rng(seed)
    bias = preferences({**CLOSING, "<|end|>": 3.0, **(wanted or {})})[:width]
    fed, ids = list(PROMPT), []
    for _ in range(tokens):
        raw = mx.array(random.gumbel(size=(1, width)) + bias / 1.5, dtype=dtype)
        logits = processor(mx.array(fed), raw)
        assert logits.dtype == dtype
        chosen = int(mx.argmax(logits, axis=-1).item())
        if chosen == tiny.END:
            break
        fed.append(chosen)
        ids.append(chosen)
    return Answer(
        text=TOKENIZER.decode(ids, skip_special_tokens=False), ids=ids, ended=chosen == tiny.END, processor=processor
    )


def constrained(grammar: Grammar, seed: int, **how: Any) -> Answer:
    return answer(compile_answer(grammar, param="grammar").processor(), seed, **how)


def held(schema: dict[str, Any]) -> CompiledGrammar | None:
    """The schema compiled, or None when it was refused as it should be: with words, and a place inside it."""
    try:
        return compile_answer(JsonSchemaGrammar(schema), param="schema")
    except InvalidRequest as error:
        refused = error
    assert refused.message
    assert str(refused.param).startswith("schema")
    return None


def refusal(grammar: Grammar, param: str = "schema") -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        compile_answer(grammar, param=param)
    return caught.value


# ── schemas ─────────────────────────────────────────────────────────────────────────────────────────────────────


@LIMITS
@given(schemas(), st.integers(0, 2**32))
def test_output_is_valid_or_the_schema_is_refused(schema: dict[str, Any], seed: int) -> None:
    compiled = held(schema)
    if compiled is None:
        return
    made = answer(compiled.processor(), seed)
    assert made.processor.failure is None
    if made.ended:
        assert_valid(made.text, schema)


@LIMITS
@given(wild_schemas(), st.integers(0, 2**32))
def test_output_of_senseless_schemas_is_valid_or_they_are_refused(schema: dict[str, Any], seed: int) -> None:
    compiled = held(schema)
    if compiled is None:
        return
    made = answer(compiled.processor(), seed)
    assert made.processor.failure is None
    if made.ended:
        # A schema that refers to nothing but itself makes the judge recurse without end.
        with contextlib.suppress(RecursionError):
            assert_valid(made.text, schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": ["é", "Straße", "😀", 'a"b', "line\nbreak", "\x7f", "", "\u2028", "/"]},
        {"const": {"ключ": ["значение", None, 1.5]}},
        {"type": "integer", "minimum": -3, "exclusiveMaximum": 12},
        {"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.01},
        {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
        {"type": "array", "items": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}, "minItems": 1},
        {"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}]},
        {"oneOf": [{"type": "null"}, {"type": "string", "maxLength": 3}]},
        {"allOf": [{"$ref": "#/$defs/a"}, {"required": ["x"]}], "$defs": {"a": {"type": "object"}}},
        PERSON,
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_output_satisfies(schema: dict[str, Any], seed: int) -> None:
    made = constrained(JsonSchemaGrammar(schema), seed)
    if made.ended:
        assert_valid(made.text, schema)
    else:
        assert len(made.ids) == 600


def test_recursive_references_end_where_the_model_ends_them() -> None:
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    schema = {**tree, "required": ["children"], "additionalProperties": False}
    made = [constrained(JsonSchemaGrammar(schema), seed) for seed in range(5)]
    assert all(one.ended for one in made)
    for one in made:
        assert_valid(one.text, schema)


def test_json_object_is_an_object() -> None:
    made = [constrained(JsonObjectGrammar(), seed) for seed in range(6)]
    ended = [json.loads(one.text) for one in made if one.ended]
    assert ended
    assert all(isinstance(value, dict) for value in ended)


def test_properties_keep_the_order_of_the_schema() -> None:
    schema = {**PERSON, "properties": dict(reversed(PERSON["properties"].items()))}  # type: ignore[attr-defined]
    assert list(json.loads(constrained(JsonSchemaGrammar(schema), 1).text)) == ["age", "name"]


def test_a_model_that_only_wants_white_space_still_ends() -> None:
    wanted = {"Ġ": 30.0, "Ċ": 30.0, "ĉ": 30.0}
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    made = constrained(JsonSchemaGrammar({**schema, "additionalProperties": False}), 3, wanted=wanted, tokens=40)
    assert made.ended
    assert re.fullmatch(r'\{"ok": (true|false)\}', made.text)


def test_a_schema_cannot_loosen_its_own_rules() -> None:
    lenient = {"x-guidance": {"lenient": True, "whitespace_flexible": True}, "type": "array", "uniqueItems": True}
    assert "uniqueItems" in refusal(JsonSchemaGrammar(lenient)).message


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("schema", "param", "word"),
    [
        ({"not": {}}, "schema.not", "not"),
        ({"properties": {"not": {"uniqueItems": True}}}, "schema.properties.not.uniqueItems", "uniqueItems"),
        ({"anyOf": [{}, {"if": {}, "then": {}}]}, "schema.anyOf[1].if", "then"),
        ({"properties": {"a": {"format": "colour"}}}, "schema.properties.a.format", "colour"),
        ({"items": {"type": "strin"}}, "schema.items.type", "strin"),
        ({"items": {"pattern": "(a"}}, "schema.items.pattern", "unclosed group"),
        ({"items": {"pattern": "a(?=b)"}}, "schema.items.pattern", "look-around"),
        ({"$ref": "#/$defs/none"}, "schema.$ref", "does not exist"),
        ({"$ref": "https://example.org/s"}, "schema.$ref", "only references inside"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"contains": {}}}}},
            "schema.$defs.a.items.contains",
            "contains",
        ),
        ({"oneOf": [{"type": "string"}, {"minLength": 2}]}, "schema.oneOf", "oneOf"),
        ({"required": "x"}, "schema.required", "required"),
        ({"enum": []}, "schema.enum", "nsatisfiable"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "schema.minimum", "minimum"),
        ({"items": {"multipleOf": -3}}, "schema.items.multipleOf", "greater than 0"),
        ({"multipleOf": 999_983}, "schema.multipleOf", "multipleOf"),
        ({"allOf": [{"multipleOf": 997}, {"multipleOf": 991}]}, "schema.multipleOf", "multipleOf"),
        ({"properties": {f"p{n}": {} for n in range(1001)}}, "schema.properties", "1000"),
        ({"items": {"minProperties": 2}}, "schema.items.minProperties", "additionalProperties"),
        (
            {"required": ["a"], "minProperties": 3, "additionalProperties": False, "patternProperties": {"^x": {}}},
            "schema.minProperties",
            "additionalProperties",
        ),
        ({"const": "\ud800"}, "schema", "surrogate"),
        ({"maximum": float("nan")}, "schema", "JSON"),
        ({"$ref": "#"}, "schema", "no text satisfies"),
        (False, "schema", "no value"),
        ({"description": "x" * 300_000}, "schema", "longer"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name_and_place(schema: Any, param: str, word: str) -> None:
    error = refusal(JsonSchemaGrammar(schema))
    assert error.param == param
    assert word in error.message


def test_a_schema_nested_too_deep_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"items": schema}
    assert refusal(JsonSchemaGrammar(schema)).param == "schema"


@pytest.mark.parametrize(
    "grammar",
    [
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


# ── other grammars ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pattern", [r"\d{3}-\d{4}", "(ja|nein)/[a-z]{1,3}", '^"é?"$', "[^a-z]{2}", r"\\\n"])
@pytest.mark.parametrize("seed", range(4))
def test_text_matches_its_regular_expression(pattern: str, seed: int) -> None:
    made = constrained(RegexGrammar(pattern), seed)
    assert made.ended
    assert re.fullmatch(pattern, made.text)


@LIMITS
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1, max_size=5), st.integers(0, 99))
def test_one_of_the_choices_comes_out_whatever_characters_it_has(choices: list[str], seed: int) -> None:
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


# ── the processor ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limit", range(1, 9))
def test_an_answer_cut_short_is_the_beginning_of_a_valid_one(limit: int) -> None:
    choices = ["constantinople", "constitution", "costume party"]
    made = constrained(ChoiceGrammar(choices), limit, tokens=limit)
    assert not made.ended
    assert any(choice.startswith(made.text) for choice in choices)


@pytest.mark.parametrize("width", [SIZE, SIZE + 1, SIZE + PADDING])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16])
def test_logits_of_any_width_and_type_are_held(width: int, dtype: mx.Dtype) -> None:
    made = constrained(RegexGrammar("[ab]{3}"), 1, width=width, dtype=dtype)
    assert made.ended
    assert re.fullmatch("[ab]{3}", made.text)


def test_after_the_end_only_the_end_comes() -> None:
    processor = compile_answer(RegexGrammar("ab")).processor()
    a, b = TOKENIZER.token_to_id("a"), TOKENIZER.token_to_id("b")
    fed = list(PROMPT)
    allowed = []
    for token in (a, b, tiny.END, tiny.END, None):
        logits = processor(mx.array(fed), mx.zeros((1, SIZE)))
        allowed.append(np.flatnonzero(np.isfinite(np.array(logits[0]))).tolist())
        fed.append(token)  # type: ignore[arg-type]
    assert allowed == [[a], [b], [tiny.END], [tiny.END], [tiny.END]]
    assert processor.done
    assert processor.failure is None


def test_a_token_against_the_grammar_forces_the_end_and_is_told() -> None:
    compiled = compile_answer(RegexGrammar("ab"), param="guided_regex")
    processor = compiled.processor()
    processor(mx.array(PROMPT), mx.zeros((1, SIZE)))
    assert compiled.failed(processor) is None
    stray = TOKENIZER.token_to_id("z")
    logits = processor(mx.array([*PROMPT, stray]), mx.zeros((1, SIZE)))
    assert np.flatnonzero(np.isfinite(np.array(logits[0]))).tolist() == [tiny.END]
    failed = compiled.failed(processor)
    assert failed is not None
    assert failed.param == "guided_regex"


def test_answers_of_one_grammar_do_not_disturb_each_other() -> None:
    compiled = compile_answer(JsonSchemaGrammar(PERSON))
    alone = answer(compiled.processor(), 5).text
    other = compiled.processor()
    answer(other, 6, tokens=4)
    assert answer(compiled.processor(), 5).text == alone


def test_a_grammar_can_start_after_a_marker() -> None:
    marker = TOKENIZER.encode("hello!", add_special_tokens=False).ids
    processor = compile_answer(RegexGrammar("[01]{4}"), start_after="hello!").processor()
    fed, after = list(PROMPT), []
    script = [*TOKENIZER.encode("some hello ", add_special_tokens=False).ids, *marker]
    random = np.random.default_rng(1)
    for step in range(len(script) + 5):
        raw = mx.array(random.normal(size=(1, SIZE)))
        logits = processor(mx.array(fed), raw)
        if step < len(script):
            assert mx.array_equal(logits, raw), "free until the marker is whole"
            fed.append(script[step])
        else:
            fed.append(int(mx.argmax(logits).item()))
            after.append(fed[-1])
    assert re.fullmatch("[01]{4}", TOKENIZER.decode(after[:4]))
    assert after[4] == tiny.END


def test_a_marker_in_the_prompt_starts_nothing() -> None:
    processor = compile_answer(RegexGrammar("[01]{4}"), start_after=TOKENIZER.decode(PROMPT[-1:])).processor()
    raw = mx.zeros((1, SIZE))
    assert mx.array_equal(processor(mx.array(PROMPT), raw), raw)
    assert mx.array_equal(processor(mx.array([*PROMPT, TOKENIZER.token_to_id("z")]), raw), raw)


# ── thoughts and tools ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("thought", [Thought(is_open=True), Thought(end="[/T]", is_open=True)])
@pytest.mark.parametrize("seed", range(4))
def test_the_answer_is_held_and_the_thought_before_it_is_free(thought: Thought, seed: int) -> None:
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


def test_a_model_may_think_first_or_answer_at_once() -> None:
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
        ([Tool("f", parameters={"properties": {"a": {"not": {}}}})], ToolChoice("required"), "properties.a.not"),
        ([Tool("f", parameters={"type": "array"})], ToolChoice("required"), "type"),
    ],
)
def test_a_tool_that_cannot_be_held_is_refused_by_its_place(tools: list[Tool], choice: ToolChoice, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        compile_calls([Tool("other"), *tools], choice, MARKUP)
    assert caught.value.param == f"tools[1].function.parameters.{param}"


def test_an_unknown_tool_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no tool named 'nope'"):
        compile_calls(TOOLS, ToolChoice("required", "nope"), MARKUP)


# ── in a batch ──────────────────────────────────────────────────────────────────────────────────────────────────


def _model() -> Any:
    mx.random.seed(7)
    model = llama.Model(llama.ModelArgs.from_dict(tiny.config(vocab_size=SIZE + PADDING)))
    mx.eval(model.parameters())
    return model


def _run(generator: Any, found: dict[int, list[int]], steps: int) -> None:
    for _ in range(steps):
        for response in generator.next()[1]:
            found.setdefault(response.uid, []).append(response.token)


@pytest.mark.parametrize("follow", [True, False])
def test_rows_with_and_without_a_grammar_share_a_batch_that_grows_and_shrinks(follow: bool) -> None:
    model = _model()

    def sample(logprobs: mx.array) -> mx.array:
        return mx.random.categorical(logprobs * (1 / 1.5))

    generator = BatchGenerator(model, stop_tokens=[[tiny.END]], completion_batch_size=8, max_tokens=60)
    source = BatchTokens(generator)
    patterns = {}

    def insert(pattern: str | None) -> int:
        processors = []
        if pattern is not None:
            processors.append(compile_answer(RegexGrammar(pattern)).processor())
        (uid,) = generator.insert([PROMPT], samplers=[sample], logits_processors=[list(processors)])
        for processor in processors:
            if follow:
                processor.follow(source, uid)
            patterns[uid] = pattern
        return int(uid)

    found: dict[int, list[int]] = {}
    free = insert(None)
    removed = insert("[0-9]{50}")
    insert("[abc]{20}")
    _run(generator, found, 6)
    insert("(xy){7}")
    _run(generator, found, 4)
    generator.remove([removed])
    insert("é{3}")
    _run(generator, found, 50)
    generator.close()
    assert free in found
    assert len(found[free]) > len(found[removed])
    for uid, pattern in patterns.items():
        text = TOKENIZER.decode(found[uid])
        assert re.fullmatch(pattern if uid != removed else "[0-9]{1,49}", text), (pattern, text)


# ── the cache ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_equal_grammars_are_compiled_once_and_the_cache_is_bounded() -> None:
    compiler = GrammarCompiler(HuggingFace(backend_tokenizer=TOKENIZER), SIZE, [tiny.END])
    patterns = [Constraint(param="x", answer=RegexGrammar(f"a{number}")) for number in range(33)]
    first = compiler.compile(patterns[0])
    assert compiler.compile(Constraint(param="x", answer=RegexGrammar("a0"))) is first
    for pattern in patterns[1:]:
        compiler.compile(pattern)
    assert compiler.compile(patterns[0]) is not first


def test_the_order_of_properties_tells_schemas_apart() -> None:
    one = {"properties": {"a": {}, "b": {}}}
    other = {"properties": {"b": {}, "a": {}}}
    first = compile_answer(JsonSchemaGrammar(one))
    assert compile_answer(JsonSchemaGrammar(other)) is not first
