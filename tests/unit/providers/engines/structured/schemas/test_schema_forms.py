"""Schemas in the form that llguidance takes: with the same meaning, or without what a grammar cannot hold."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat.types import JsonSchemaGrammar
from providers.engines.structured import writer
from providers.engines.structured.schemas.disjoint import are_disjoint
from providers.engines.structured.schemas.schema_forms import SchemaForm
from providers.errors import InvalidRequest
from tests.unit.providers.engines.constrained_answers import LIMITS, answer, compile_answer
from tests.unit.providers.engines.random_schemas import NAMES, VALUES, assert_valid, schemas, wild_schemas

DEFINITIONS = {"$defs": {"text": {"type": "string"}, "number": {"type": "integer"}, "a": {"const": "a"}}}
TEXT, NUMBER = {"$ref": "#/$defs/text"}, {"$ref": "#/$defs/number"}


def kind(value: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"kind": {"const": value}, **more}, "required": ["kind"]}


@pytest.mark.parametrize(
    "branches",
    [
        [TEXT, {"type": "null"}],
        [TEXT, NUMBER],
        [{"allOf": [TEXT]}, {"allOf": [NUMBER, {"minimum": 2}]}],
        [{"const": 1}, {"const": 2}, {"const": "1"}, {"const": True}],
        [{"enum": [1, 2]}, {"enum": [3, "a"]}],
        [{"$ref": "#/$defs/a"}, {"enum": ["b", 1]}],
        [{"const": 7}, {"type": "integer", "maximum": 6}],
        [{"type": "integer", "maximum": 3}, {"type": "number", "exclusiveMinimum": 3}],
        [{"type": "string", "maxLength": 3}, {"type": "string", "minLength": 4}],
        [{"type": "array", "minItems": 2}, {"type": "array", "maxItems": 1}, {"type": "boolean"}],
        [kind(1), kind(2), kind("1")],
        [kind("a"), {"type": "object", "properties": {"b": {}}, "additionalProperties": False}],
        [{"anyOf": [{"type": "null"}, TEXT]}, NUMBER],
    ],
)
def test_one_of_disjoint_branches_is_held(branches: list[Any]) -> None:
    schema = {"oneOf": branches, **DEFINITIONS}
    for strict in (True, False):
        compiled = compile_answer(JsonSchemaGrammar(schema, strict=strict))
        assert compiled.given_up == ()
        for seed in range(3):
            made = answer(compiled.processor(), seed)
            if made.ended:
                assert_valid(made.text, schema)


@pytest.mark.parametrize(
    "branches",
    [
        [{"type": "number"}, {"type": "integer"}],
        [{"const": 1}, {"const": 1.0}],
        [{"enum": ["a", 2]}, {"type": "string"}],
        [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 3}],
        [{"required": ["a"]}, {"required": ["b"]}],
        [kind("a"), {"type": "object", "properties": {"kind": {"const": "b"}}}],
        [TEXT, {"pattern": "a"}],
        [{"$ref": "#/$defs/none"}, {"type": "null"}],
        [{"$ref": "#"}, {"type": "null"}],
    ],
)
def test_branches_that_may_overlap_are_not_disjoint(branches: list[Any]) -> None:
    assert not are_disjoint({"oneOf": branches, **DEFINITIONS}, branches)


objects = st.dictionaries(NAMES, VALUES, max_size=3)


@LIMITS
@given(st.lists(schemas(1) | wild_schemas(1), min_size=2, max_size=2), st.lists(VALUES | objects, min_size=5))
def test_no_value_satisfies_two_disjoint_schemas(branches: list[Any], values: list[Any]) -> None:
    if not are_disjoint({}, branches):
        return
    for value in values:
        try:
            valid = [jsonschema.Draft202012Validator(branch).is_valid(value) for branch in branches]
        except Exception:
            return  # The schema itself is invalid.
        assert valid != [True, True]


@pytest.mark.parametrize(
    "keywords",
    [
        {"type": "string", "format": "uint64"},
        {"type": "string", "format": "uri-reference"},
        {"type": "array", "uniqueItems": False},
        {"type": "string", "not": False},
        {"type": "array", "contains": {"type": "null"}, "minContains": 0},
        {"type": "array", "maxContains": 3},
        {"type": "object", "propertyNames": {"type": "string"}},
        {"type": "object", "propertyNames": {}},
        {"type": "object", "dependentRequired": {}, "dependencies": {}},
        {"type": "string", "if": {"minLength": 1}},
        {"type": "string", "then": {"minLength": 1}, "else": False},
        {"type": "object", "unevaluatedProperties": True},
        {"type": "object", "properties": {"a": {}}, "unevaluatedProperties": False},
    ],
)
def test_keywords_that_mean_nothing_are_no_obstacle(keywords: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"x": keywords}, "required": ["x"], "additionalProperties": False}
    compiled = compile_answer(JsonSchemaGrammar(schema))
    assert compiled.given_up == ()
    made = answer(compiled.processor(), 1)
    if made.ended:
        assert_valid(made.text, schema)


@pytest.mark.parametrize(
    "bounds",
    [
        {"minimum": -9007199254740991, "maximum": 9007199254740991},
        {"minimum": 0, "maximum": 2**64 - 1},
        {"minimum": -(2**63), "maximum": 2**63 - 1},
        {"exclusiveMaximum": 9007199254740995},
        {"maximum": 20_000_000_000},
        {"maximum": 1e308},
        {"minimum": -1.7976931348623157e308, "maximum": 1.7976931348623157e308},
        {"minimum": -1e20, "maximum": 6.02e23},
    ],
)
@pytest.mark.parametrize("type", ["integer", "number"])
def test_bounds_beyond_64_bits_are_held(type: str, bounds: dict[str, Any]) -> None:
    schema = {"type": type, **bounds}
    compiled = compile_answer(JsonSchemaGrammar(schema))
    assert compiled.given_up == ()
    for seed in range(8):
        made = answer(compiled.processor(), seed, wanted={"9": 3.0})
        if made.ended and "e" not in made.text.lower():
            assert_valid(made.text, schema)


@pytest.mark.parametrize(
    ("schema", "given_up", "held"),
    [
        ({"type": "string", "pattern": "b(?!a)", "maxLength": 2}, ["pattern"], {"type": "string", "maxLength": 2}),
        ({"type": "object", "patternProperties": {"^(?!a)": {}}}, ["patternProperties"], {"type": "object"}),
        ({"type": "array", "uniqueItems": True}, ["uniqueItems"], {"type": "array"}),
        ({"if": {"pattern": "a"}, "then": {"type": "null"}, "maxLength": 1}, ["if", "then"], {"maxLength": 1}),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, ["oneOf"], {"type": "number"}),
        (
            {"oneOf": [{"type": "null"}, {"type": "object", "required": ["a"], "not": {"items": {}}}]},
            ["oneOf[1].not"],
            {"anyOf": [{"type": "null"}, {"type": "object", "required": ["a"]}]},
        ),
        ({"type": "object", "minProperties": 3}, ["minProperties"], {"type": "object"}),
        ({"type": "integer", "multipleOf": 999_983}, ["multipleOf"], {"type": "integer"}),
        ({"$ref": "https://example.org/s", "type": "null"}, ["$ref"], {"type": "null"}),
        ({"properties": {"a": {"minimum": 1e19, "type": "number"}}}, ["properties.a.minimum"], {"type": "object"}),
        ({"type": "number", "minimum": 2**63, "maximum": 1e19}, ["minimum"], {"type": "number"}),
        ({"const": 2**64 - 1}, ["const"], {"type": "integer"}),
        ({"enum": [2**53 + 1, "a"]}, ["enum"], {"type": ["integer", "string"]}),
        ({"type": "object", "maxProperties": 3, "properties": {"a": {}}}, ["maxProperties"], {"type": "object"}),
        ({"items": {"$ref": "https://example.org/s#/a"}, "type": "array"}, ["items.$ref"], {"type": "array"}),
        (
            {"$ref": "#/other/place", "other": {"place": {"type": "null", "not": {}}}},
            ["other.place.not"],
            {"type": "null"},
        ),
    ],
)
def test_a_form_that_is_not_strict_gives_up_only_what_cannot_be_held(
    schema: dict[str, Any], given_up: list[str], held: dict[str, Any]
) -> None:
    schema = {**schema, "type": "object"} if held == {"type": "object"} else schema
    compiled = compile_answer(JsonSchemaGrammar(schema, strict=False), param="schema")
    assert list(compiled.given_up) == [f"schema.{path}" for path in given_up]
    made = answer(compiled.processor(), 3)
    if made.ended:
        assert_valid(made.text, held)
    with pytest.raises(InvalidRequest) as caught:
        compile_answer(JsonSchemaGrammar(schema), param="schema")
    assert caught.value.param == f"schema.{given_up[0]}"


TREE = {
    "type": "object",
    "properties": {"child": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}, "size": {"type": "integer"}},
    "required": ["size"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("beside", "given_up"),
    [
        ({"type": ["object", "null"]}, []),
        ({"maxProperties": 1}, ["schema.$defs.tree.properties.child.anyOf[0].$ref"]),
    ],
)
def test_a_definition_that_contains_itself_is_held_as_far_as_it_can_be(beside: Any, given_up: list[str]) -> None:
    child = {**TREE["properties"]["child"], **beside}  # type: ignore[index]
    tree = {**TREE, "properties": {**TREE["properties"], "child": child}}  # type: ignore[dict-item]
    schema = {"$ref": "#/$defs/tree", "$defs": {"tree": tree}}
    compiled = compile_answer(JsonSchemaGrammar(schema, strict=False), param="schema")
    assert list(compiled.given_up) == given_up
    for seed in range(4):
        made = answer(compiled.processor(), seed)
        if made.ended:
            assert_valid(made.text, {**TREE, "properties": {"child": {"type": ["object", "null"]}, "size": {}}})


@pytest.mark.parametrize(
    "siblings", [{"minProperties": 1}, {"required": ["size"]}, {"properties": {"size": {"maximum": 5}}}]
)
def test_what_stands_beside_a_reference_means_nothing_in_old_schemas(siblings: dict[str, Any]) -> None:
    child = {"$ref": "#/definitions/tree", **siblings}
    tree = {"type": "object", "properties": {"child": child, "size": {"type": "integer"}}}
    schema = {"$ref": "#/definitions/tree", "definitions": {"tree": tree}}
    draft = {"$schema": "http://json-schema.org/draft-07/schema#"}
    assert compile_answer(JsonSchemaGrammar({**schema, **draft})).given_up == ()
    assert compile_answer(JsonSchemaGrammar(schema, strict=False)).given_up


@pytest.mark.parametrize(
    "sizes",
    [{"maxLength": 10.0}, {"maxLength": 2**70}, {"minLength": 1.0}, {"maxItems": 1e30}, {"maxProperties": 2**64}],
)
def test_sizes_are_read_as_json_numbers(sizes: dict[str, Any]) -> None:
    assert compile_answer(JsonSchemaGrammar({"properties": {"a": sizes}})).given_up == ()


@pytest.mark.parametrize("value", [2**53 + 1, 2**63, 2**64 - 1, 10**30, [2**53 + 1], {"a": 2**64}])
def test_a_strict_form_never_writes_another_integer(value: Any) -> None:
    for schema in ({"const": value}, {"enum": ["a", value]}):
        with pytest.raises(InvalidRequest) as caught:
            compile_answer(JsonSchemaGrammar({"properties": {"n": schema}}), param="schema")
        assert caught.value.param == f"schema.properties.n.{next(iter(schema))}"


@pytest.mark.parametrize("value", [2**53, 2**60, -(2**62), 20_000_000_000, 1e-7, 1e15])
def test_numbers_that_floating_point_has_are_written_exactly(value: float) -> None:
    compiled = compile_answer(JsonSchemaGrammar({"enum": [value]}))
    assert json.loads(answer(compiled.processor(), 1).text) == value


def test_a_search_for_faults_that_takes_long_ends_with_the_type_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_GIVEN_UP", 3)
    fields = {f"p{n}": {"type": "object", "minProperties": 3} for n in range(9)}
    schema = {"type": "object", "properties": fields, "additionalProperties": False}
    compiled = compile_answer(JsonSchemaGrammar(schema, strict=False), param="schema")
    assert compiled.given_up == ("schema",)
    made = answer(compiled.processor(), 2)
    assert not made.ended or isinstance(json.loads(made.text), dict)


@pytest.mark.parametrize(
    "schema",
    [{"enum": []}, {"type": "integer", "minimum": 3, "maximum": 2}, {"type": "strin"}, {"required": "x"}, False],
)
def test_what_no_value_satisfies_and_what_is_no_schema_is_refused_all_the_same(schema: Any) -> None:
    with pytest.raises(InvalidRequest):
        compile_answer(JsonSchemaGrammar(schema, strict=False))


@LIMITS
@given(schemas() | wild_schemas(), st.integers(0, 2**32))
def test_output_is_valid_where_nothing_was_given_up(schema: dict[str, Any], seed: int) -> None:
    try:
        compiled = compile_answer(JsonSchemaGrammar(schema, strict=False), param="schema")
    except InvalidRequest:
        return
    made = answer(compiled.processor(), seed)
    assert made.processor.failure is None
    if made.ended and not compiled.given_up:
        assert_valid(made.text, schema)


def test_a_pattern_without_anchors_is_a_search() -> None:
    schema = {"type": "string", "pattern": "[a-z]{2}", "maxLength": 5}
    found = [answer(compile_answer(JsonSchemaGrammar(schema)).processor(), seed).text for seed in range(20)]
    assert any(len(json.loads(text)) > 2 for text in found)


def test_the_client_s_schema_is_not_changed() -> None:
    schema = {"oneOf": [TEXT, NUMBER], "uniqueItems": False, **DEFINITIONS}
    before = json.dumps(schema)
    SchemaForm.of(schema)
    assert json.dumps(schema) == before
