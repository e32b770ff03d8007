"""Keywords that llguidance refuses, held in another form."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat.types import JsonSchemaGrammar
from providers.engines.structured.schemas.negation import negation
from providers.engines.structured.schemas.rewriting import REWRITTEN, rewritten
from providers.errors import InvalidRequest
from tests.unit.providers.engines.constrained_answers import LIMITS, TOKENIZER, answer, compile_answer, refusal
from tests.unit.providers.engines.random_schemas import VALUES, assert_valid, schemas, wild_schemas

CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "integer"} for name in "abc"},
    "additionalProperties": False,
}
KIND: dict[str, Any] = {
    "type": "object",
    "properties": {"kind": {"enum": ["x", "y"]}, "value": {"type": "null"}},
    "required": ["kind"],
    "additionalProperties": False,
    "if": {"properties": {"kind": {"const": "x"}}},
    "then": {"required": ["value"]},
    "else": {"properties": {"value": False}},
}
ONE, TWO = {"a": 1}, {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({**CLOSED, "dependentRequired": {"a": ["b"]}}, [{}, {"b": 1}, TWO], [ONE, {"a": 1, "c": 1}]),
        ({**CLOSED, "dependencies": {"a": "b", "b": []}}, [{}, {"b": 1}, TWO], [ONE]),
        ({**CLOSED, "dependentSchemas": {"a": {"required": ["c"]}}}, [{}, {"a": 1, "c": 1}], [ONE, TWO]),
        ({**CLOSED, "not": {"required": ["a", "b"]}}, [{}, ONE, {"a": 1, "c": 1}], [TWO]),
        ({**CLOSED, "not": {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}}, [{}, {"c": 1}], [ONE, TWO]),
        ({**CLOSED, "minProperties": 2}, [TWO, {"b": 1, "c": 1}], [{}, ONE]),
        ({**CLOSED, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, [ONE, {"b": 1, "c": 1}], [{}, TWO]),
        (KIND, [{"kind": "x", "value": None}, {"kind": "y"}], [{"kind": "x"}, {"kind": "y", "value": None}]),
        ({"type": "object", "propertyNames": {"pattern": "^a+$"}}, [{"aa": 1}, {}], [{"b": 1}]),
        ({"type": "object", "propertyNames": {"enum": ["a"]}}, [ONE, {}], [{"b": 1}]),
        ({"not": {"type": ["object", "string"]}}, [1, None, [], True], ["a", {}]),
        ({"type": ["string", "integer"], "not": {"minLength": 2}}, ["a", ""], ["ab", 1]),
        ({"enum": ["a", "b", 1], "not": {"enum": ["b"]}}, ["a", 1], ["b"]),
        ({"type": "integer", "not": {"maximum": 3}}, [4], [3, -1]),
        ({"oneOf": [{"type": "number", "maximum": 3}, {"minimum": 1}]}, [0, 4, "a"], [2]),
        ({"not": {"not": {"type": "null"}}}, [None], [1]),
    ],
)
def test_a_keyword_that_llguidance_refuses_is_held(
    schema: dict[str, Any], valid: list[Any], invalid: list[Any]
) -> None:
    for strict in (True, False):
        compiled = compile_answer(JsonSchemaGrammar(schema, strict=strict))
        assert compiled.given_up == ()
        for value in [*valid, *invalid]:
            ids = TOKENIZER.encode(json.dumps(value), add_special_tokens=False).ids
            matcher = compiled._start.deep_copy()
            assert (matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()) is (value in valid), value


objects = st.dictionaries(st.sampled_from(["a", "b", "name", ""]), VALUES, max_size=3)


@LIMITS
@given(schemas(1) | wild_schemas(1), st.lists(VALUES | objects | st.lists(VALUES, max_size=3), min_size=5))
def test_a_negation_accepts_exactly_what_its_schema_refuses(schema: dict[str, Any], values: list[Any]) -> None:
    other = negation(schema, schema)
    if other is None or "$ref" in json.dumps(schema):
        return
    for value in values:
        try:
            valid = jsonschema.Draft202012Validator(schema).is_valid(value)
        except Exception:
            return  # The schema itself is invalid.
        assert jsonschema.Draft202012Validator(other).is_valid(value) is not valid


def can_be_judged(schema: Any) -> bool:
    """Whether a validator can read the schema inside of another: a reference counts from the root of the document, and
    the validator meets a pattern that is none only with some values."""
    if isinstance(schema, list):
        return all(map(can_be_judged, schema))
    if not isinstance(schema, dict):
        return True
    patterns = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    try:
        for pattern in [*patterns, *schema.get("patternProperties", {})]:
            re.compile(pattern)
    except re.error:
        return False
    return "$ref" not in schema and all(map(can_be_judged, schema.values()))


parts = (wild_schemas(1) | schemas(1)).filter(can_be_judged)
conditions = st.fixed_dictionaries(
    {"properties": st.dictionaries(st.sampled_from(["a", "b"]), parts, max_size=2)},
    optional={"required": st.lists(st.sampled_from(["a", "b"]), max_size=2)},
)
combined = st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={
        "properties": st.fixed_dictionaries({"a": st.just({"enum": [1, "x", None]}), "b": st.booleans()}),
        "additionalProperties": st.booleans(),
        "not": conditions,
        "if": conditions,
        "then": conditions,
        "else": conditions,
        "oneOf": st.lists(conditions, min_size=1, max_size=3),
        "dependentRequired": st.dictionaries(st.sampled_from(["a", "b"]), st.just(["name"]), max_size=2),
        "dependentSchemas": st.dictionaries(st.sampled_from(["a", "b"]), conditions, max_size=2),
        "minProperties": st.integers(0, 2),
        "propertyNames": st.sampled_from([{"pattern": "^a"}, {"enum": ["a", "b"]}]),
    },
)


@LIMITS
@given(combined, st.lists(objects, min_size=5))
def test_another_form_accepts_the_same_values(schema: dict[str, Any], values: list[Any]) -> None:
    for keyword in sorted({*REWRITTEN, "oneOf"} & set(schema)):
        form = rewritten(schema, schema, keyword)
        if form is None:
            continue
        gone = {keyword, "then", "else"} if keyword == "if" else {keyword}
        gone |= {"additionalProperties"} if keyword == "propertyNames" else set()
        rest = {name: value for name, value in schema.items() if name not in gone}
        for value in values:
            try:
                valid = jsonschema.Draft202012Validator(schema).is_valid(value)
            except Exception:
                return  # The schema itself is invalid.
            assert jsonschema.Draft202012Validator({**rest, "allOf": form}).is_valid(value) is valid


@LIMITS
@given(combined, st.integers(0, 2**32))
def test_answers_are_valid(schema: dict[str, Any], seed: int) -> None:
    try:
        compiled = compile_answer(JsonSchemaGrammar(schema, strict=False))
    except InvalidRequest:
        return  # No value satisfies it.
    made = answer(compiled.processor(), seed)
    if made.ended and not compiled.given_up:
        assert_valid(made.text, schema)


def test_what_has_no_other_form_is_refused_where_it_stands() -> None:
    schema = {"properties": {"a": {"if": {"pattern": "a"}, "then": {"type": "string", "not": {"type": "null"}}}}}
    assert refusal(JsonSchemaGrammar(schema)).param == "schema.properties.a.if"
    compiled = compile_answer(JsonSchemaGrammar(schema, strict=False), param="schema")
    assert list(compiled.given_up) == ["schema.properties.a.if", "schema.properties.a.then"]
