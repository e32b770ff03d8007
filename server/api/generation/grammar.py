"""The form that an answer must have: from the wire's fields to a grammar."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.chat.response_format import ResponseFormat, ResponseFormatJSONObject, ResponseFormatJSONSchema
from contracts.conversion.strict import Problem, free_form
from contracts.sampling import GenerationOptions, GuidedOptions
from providers.chat.types import (
    ChoiceGrammar,
    Grammar,
    JsonObjectGrammar,
    JsonSchemaGrammar,
    LarkGrammar,
    RegexGrammar,
)
from providers.errors import InvalidRequest

__all__ = ["of_format", "one_form", "to_grammar"]

MAX_LEVELS = 128
"""Of a schema that comes as text."""


def to_grammar(request: GenerationOptions, response_format: ResponseFormat | None = None) -> tuple[Grammar, str] | None:
    """The grammar of the answer, and the path of the field that it comes from; None for any text.

    Raises:
        InvalidRequest: there are several forms, or one lacks its schema.
    """
    return one_form(request, of_format(response_format), *_of_llama_cpp(request))


def one_form(request: GuidedOptions, *formats: tuple[Grammar, str] | None) -> tuple[Grammar, str] | None:
    """The only requested form: one of the endpoint's own, or one of the `guided_…` fields.

    Raises:
        InvalidRequest: there are several forms, or one is not a schema.
    """
    found = [form for form in (*formats, *_guided(request)) if form is not None]
    if len(found) > 1:
        (_, first), (_, second), *_ = found
        path = second.partition(".")[0]
        raise InvalidRequest(f"{path}: {first.partition('.')[0]} already sets the form of the answer", param=path)
    return found[0] if found else None


def of_format(format: ResponseFormat | None) -> tuple[Grammar, str] | None:
    """The form that `response_format` sets. Raises: InvalidRequest, if `json_schema` comes without a schema, or with
    two."""
    if isinstance(format, ResponseFormatJSONObject):
        if format.schema is None:
            return JsonObjectGrammar(), "response_format"
        return JsonSchemaGrammar(format.schema, strict=False), "response_format.schema"
    if not isinstance(format, ResponseFormatJSONSchema):
        return None
    within = format.json_schema.schema if format.json_schema else None
    strict = bool(format.strict or (format.json_schema and format.json_schema.strict))
    if within is not None and format.schema not in (None, within):
        path = "response_format.schema"
        raise InvalidRequest(f"{path}: json_schema.schema is another schema; send one of them", param=path)
    if within is not None:
        return JsonSchemaGrammar(within, strict=strict), "response_format.json_schema.schema"
    if format.schema is not None:
        return JsonSchemaGrammar(format.schema, strict=strict), "response_format.schema"
    path = "response_format.json_schema" + (".schema" if format.json_schema else "")
    example = '{"type": "json_schema", "json_schema": {"name": "…", "schema": {…}}}'
    raise InvalidRequest(f"{path}: required, but missing; send {example}", param=path)


def _of_llama_cpp(request: GenerationOptions) -> list[tuple[Grammar, str]]:
    forms: list[tuple[Grammar, str]] = []
    if request.json_schema is not None:
        forms.append((_json_schema(request.json_schema, "json_schema"), "json_schema"))
    if request.grammar:
        forms.append((LarkGrammar(request.grammar), "grammar"))
    return forms


def _guided(request: GuidedOptions) -> list[tuple[Grammar, str]]:
    forms: list[tuple[Grammar, str]] = []
    if request.guided_json is not None:
        forms.append((_json_schema(request.guided_json, "guided_json"), "guided_json"))
    if request.guided_regex is not None:
        forms.append((RegexGrammar(request.guided_regex), "guided_regex"))
    if request.guided_choice is not None:
        forms.append((ChoiceGrammar(request.guided_choice), "guided_choice"))
    if request.guided_grammar is not None:
        forms.append((LarkGrammar(request.guided_grammar), "guided_grammar"))
    return forms


def _json_schema(given: dict[str, Any] | str, path: str) -> JsonSchemaGrammar:
    """A schema that cannot be strict: its field has no place to say so."""
    return JsonSchemaGrammar(_schema(given, path), strict=False)


def _schema(given: dict[str, Any] | str, path: str) -> dict[str, Any] | bool:
    if not isinstance(given, str):
        return given
    try:
        schema = free_form(msgspec.json.decode(given), MAX_LEVELS, wide=True)
    except (ValueError, Problem, RecursionError) as error:
        raise InvalidRequest(f"{path}: not valid JSON: {error}", param=path) from None
    if not isinstance(schema, (dict, bool)):
        raise InvalidRequest(f"{path}: a schema must be a JSON object", param=path)
    return schema
