"""JSON schemas: whatever the model prefers, the output is valid, or the schema is refused."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat.types import (
    JsonObjectGrammar,
    JsonSchemaGrammar,
)
from providers.engines.structured.compiler import CompiledGrammar
from providers.errors import InvalidRequest
from tests.unit.providers.engines.constrained_answers import (
    LIMITS,
    PERSON,
    PROMPT,
    SIZE,
    TOKENIZER,
    answer,
    compile_answer,
    constrained,
    refusal,
)
from tests.unit.providers.engines.random_schemas import assert_valid, schemas, wild_schemas


def held(schema: dict[str, Any]) -> CompiledGrammar | None:
    """The compiled schema, or None if it was refused with a message and a place inside it."""
    try:
        return compile_answer(JsonSchemaGrammar(schema), param="schema")
    except InvalidRequest as error:
        refused = error
    assert refused.message
    assert str(refused.param).startswith("schema")
    return None


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
    made = constrained(JsonSchemaGrammar({**schema, "additionalProperties": False}), 3, wanted=wanted, tokens=160)
    assert made.ended
    gap = r"(?: |\n[ \t]{0,32})?"
    assert re.fullmatch(rf'\{{{gap}"ok"{gap}:{gap}(true|false){gap}\}}', made.text)


CITIES = {"type": "object", "properties": {"cities": {"type": "array", "items": PERSON}}, "required": ["cities"]}


@pytest.mark.parametrize("indent", [None, 1, 2, 4, "\t"])
def test_json_may_be_laid_out_as_models_do(indent: int | str | None) -> None:
    value = {"cities": [{"name": "Rome", "age": 3}, {"name": "Oslo", "age": 1}]}
    for text in (json.dumps(value, indent=indent), json.dumps(value, separators=(",", ":"))):
        assert follows(compile_answer(JsonSchemaGrammar(CITIES)), text)


@pytest.mark.parametrize("text", ['{  "cities"', '{\n\n"cities"', " {", "\n{", '{"cities": []} ', '{"cities": []}\n'])
def test_other_white_space_is_ruled_out(text: str) -> None:
    assert not follows(compile_answer(JsonSchemaGrammar({**CITIES, "additionalProperties": False})), text)


def follows(compiled: CompiledGrammar, text: str) -> bool:
    """Whether the grammar lets this text through."""
    processor = compiled.processor()
    fed = list(PROMPT)
    for token in TOKENIZER.encode(text, add_special_tokens=False).ids:
        if not np.isfinite(np.array(processor(mx.array(fed), mx.zeros((1, SIZE)))))[0, token]:
            return False
        fed.append(token)
    return True


def test_a_schema_cannot_loosen_its_own_rules() -> None:
    lenient = {"x-guidance": {"lenient": True, "whitespace_flexible": True}, "type": "array", "uniqueItems": True}
    assert "uniqueItems" in refusal(JsonSchemaGrammar(lenient)).message


# ── refusals ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("schema", "param", "word"),
    [
        ({"not": {}}, "schema.not", "not"),
        ({"properties": {"not": {"uniqueItems": True}}}, "schema.properties.not.uniqueItems", "uniqueItems"),
        ({"anyOf": [{}, {"if": {"pattern": "a"}, "then": {"minLength": 1}}]}, "schema.anyOf[1].if", "then"),
        ({"oneOf": [{"type": "null"}, {"not": {"const": 1}, "type": "string"}]}, "schema.oneOf[1].not", "not"),
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
        ({"oneOf": [{"type": "string"}, {"pattern": "a"}]}, "schema.oneOf", "oneOf"),
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
def test_an_unsupported_schema_is_refused_by_keyword_and_place(schema: Any, param: str, word: str) -> None:
    error = refusal(JsonSchemaGrammar(schema))
    assert error.param == param
    assert word in error.message


@pytest.mark.parametrize("depth", [130, 900, 5000])
def test_a_schema_nested_too_deep_is_refused(depth: int) -> None:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    assert refusal(JsonSchemaGrammar(schema)).param == "schema"
