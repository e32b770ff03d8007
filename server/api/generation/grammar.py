"""The form that an answer must have: from the wire's fields to a grammar."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.chat.response_format import ResponseFormat, ResponseFormatJSONObject, ResponseFormatJSONSchema
from contracts.sampling import GuidedOptions
from providers.chat.types import (
    ChoiceGrammar,
    Grammar,
    JsonObjectGrammar,
    JsonSchemaGrammar,
    LarkGrammar,
    RegexGrammar,
)
from providers.errors import InvalidRequest

__all__ = ["one_form", "to_grammar"]


def to_grammar(request: GuidedOptions, response_format: ResponseFormat | None = None) -> tuple[Grammar, str] | None:
    """The grammar of the answer, and the path of the field that it comes from; None for any text.

    Raises:
        InvalidRequest: there are several forms, or `guided_json` is not a schema.
    """
    return one_form(request, _of_format(response_format))


def one_form(request: GuidedOptions, format: tuple[Grammar, str] | None) -> tuple[Grammar, str] | None:
    """The only requested form: the endpoint's own, or one of the `guided_…` fields.

    Raises:
        InvalidRequest: there are several forms, or `guided_json` is not a schema.
    """
    found = [form for form in (format, *_guided(request)) if form is not None]
    if len(found) > 1:
        (_, first), (_, second), *_ = found
        path = second.partition(".")[0]
        raise InvalidRequest(f"{path}: {first.partition('.')[0]} already sets the form of the answer", param=path)
    return found[0] if found else None


def _of_format(format: ResponseFormat | None) -> tuple[Grammar, str] | None:
    if isinstance(format, ResponseFormatJSONObject):
        return JsonObjectGrammar(), "response_format"
    if isinstance(format, ResponseFormatJSONSchema):
        return JsonSchemaGrammar(format.json_schema.schema), "response_format.json_schema.schema"
    return None


def _guided(request: GuidedOptions) -> list[tuple[Grammar, str]]:
    forms: list[tuple[Grammar, str]] = []
    if request.guided_json is not None:
        forms.append((JsonSchemaGrammar(_schema(request.guided_json)), "guided_json"))
    if request.guided_regex is not None:
        forms.append((RegexGrammar(request.guided_regex), "guided_regex"))
    if request.guided_choice is not None:
        forms.append((ChoiceGrammar(request.guided_choice), "guided_choice"))
    if request.guided_grammar is not None:
        forms.append((LarkGrammar(request.guided_grammar), "guided_grammar"))
    return forms


def _schema(given: dict[str, Any] | str) -> dict[str, Any] | bool:
    if not isinstance(given, str):
        return given
    try:
        schema = msgspec.json.decode(given)
        msgspec.msgpack.encode(schema)  # the frame to the engine must be able to carry it
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidRequest(f"guided_json: not valid JSON: {error}", param="guided_json") from None
    if not isinstance(schema, (dict, bool)):
        raise InvalidRequest("guided_json: a schema must be a JSON object", param="guided_json")
    return schema
