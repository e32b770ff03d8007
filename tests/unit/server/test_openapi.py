"""The OpenAPI document is valid and complete, and describes the service."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from litestar import Litestar
from openapi_spec_validator import validate

from contracts.responses.events import ResponseStreamEvent
from tests.unit.server.harness import ask, make_app

ERRORS = {"$ref": "#/components/schemas/ErrorResponse"}
ATTRIBUTE = {"oneOf": [{"type": "string", "maxLength": 512}, {"type": "number"}, {"type": "boolean"}]}
ANTHROPIC_ERRORS = {"$ref": "#/components/schemas/MessagesErrorResponse"}
ANTHROPIC = ("createMessage", "countMessageTokens")
HEALTH = ("getHealth", "getReadiness")
"""Their 503 is their 200 with another status."""


@pytest.fixture(scope="module")
def app() -> Litestar:
    return make_app()


@pytest.fixture(scope="module")
def document(app: Litestar) -> dict[str, Any]:
    return app.openapi_schema.to_schema()


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


async def test_the_document_is_served_and_valid(app: Litestar) -> None:
    answer = await ask(app, "GET", "/schema/openapi.json")
    assert answer.status == 200
    validate(answer.json)


def test_every_operation_has_an_id_and_a_summary(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document)]
    assert len(set(ids)) == len(ids) == 59
    assert all(operation["summary"] for operation in operations(document))


def test_every_content_has_a_media_type(document: dict[str, Any]) -> None:
    types = [
        (f"{method} {path}", type)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for answer in operation["responses"].values()
        for type in answer.get("content", {})
    ]
    assert [(operation, type) for operation, type in types if "/" not in type] == []


def test_every_error_is_documented_in_our_envelope(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for status, response in operation["responses"].items():
            if status not in ("200", "202"):
                if operation["operationId"] in HEALTH and status == "503":
                    continue
                envelope = ANTHROPIC_ERRORS if operation["operationId"] in ANTHROPIC else ERRORS
                assert response["content"]["application/json"]["schema"] == envelope, (operation["operationId"], status)


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/images/edits"])
def test_images_are_json_or_events(document: dict[str, Any], path: str) -> None:
    content = document["paths"][path]["post"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"]["$ref"].endswith("/ImagesResponse")
    assert "ImageCompletedEvent" in content["text/event-stream"]["schema"]["description"]
    assert "ImageCompletedEvent" in document["components"]["schemas"]


def test_both_forms_of_speech_with_timings_are_described(document: dict[str, Any]) -> None:
    answer = document["paths"]["/v1/audio/speech"]["post"]["responses"]["200"]["content"]["application/json"]
    forms = {form["$ref"].rsplit("/", 1)[1] for form in answer["schema"]["oneOf"]}
    assert forms == {"SpeechWithTimings", "HeadTtsSpeech"}
    described = document["components"]["schemas"]["HeadTtsSpeech"]
    assert "audioEncoding" in described["properties"]
    assert "audioEncoding" in described["required"]


def test_the_chat_operation_describes_its_request_and_responses(document: dict[str, Any]) -> None:
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ChatCompletionRequest")
    assert set(chat["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert set(chat["responses"]) == {
        "200",
        "400",
        "401",
        "404",
        "413",
        "415",
        "429",
        "500",
        "501",
        "503",
        "504",
        "507",
    }


def test_the_events_of_a_stream_are_described(document: dict[str, Any]) -> None:
    events = document["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["content"]["text/event-stream"]
    assert "ChatCompletionChunk" in events["schema"]["description"]
    chunk = document["components"]["schemas"]["ChatCompletionChunk"]
    assert {"id", "choices", "model", "created"} <= set(chunk["required"])


def test_the_pages_of_a_response_s_input_are_described_as_they_are(document: dict[str, Any]) -> None:
    (listing,) = document["paths"]["/v1/responses/{response_id}/input_items"].values()
    schemas = {parameter["name"]: parameter["schema"] for parameter in listing["parameters"]}
    assert {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}.items() <= schemas["limit"].items()
    assert schemas["order"]["enum"] == ["asc", "desc"]


def test_the_events_of_a_response_are_described(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/responses"]["post"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"]["$ref"].endswith("/Response")
    assert "ResponseLifecycleEvent" in content["text/event-stream"]["schema"]["description"]
    schemas = document["components"]["schemas"]
    for event in get_args(ResponseStreamEvent):
        assert {"type", "sequence_number"} <= {*schemas[event.__name__]["properties"]}
    assert set(schemas["CreateResponse"]["required"]) == set()


def test_bounds_and_required_fields_are_in_the_schema(document: dict[str, Any]) -> None:
    request = document["components"]["schemas"]["ChatCompletionRequest"]
    assert set(request["required"]) == {"messages"}
    assert {"type": "number", "minimum": 0.0, "maximum": 2.0} in request["properties"]["temperature"]["oneOf"]
    assert {"type": "null"} in request["properties"]["stream"]["oneOf"]


@pytest.mark.parametrize(
    ("contract", "field", "values"),
    [
        ("CreateResponse", "metadata", {"type": "string", "maxLength": 512}),
        ("CreateVectorStoreRequest", "metadata", {"type": "string", "maxLength": 512}),
        ("CreateVectorStoreFileRequest", "attributes", ATTRIBUTE),
        ("BatchFile", "attributes", ATTRIBUTE),
        ("VectorStoreFile", "attributes", ATTRIBUTE),
        ("VectorStoreSearchResult", "attributes", ATTRIBUTE),
    ],
)
def test_objects_with_bounds_are_described_as_objects(
    document: dict[str, Any], contract: str, field: str, values: dict[str, Any]
) -> None:
    described = document["components"]["schemas"][contract]["properties"][field]
    assert {
        "type": "object",
        "additionalProperties": values,
        "maxProperties": 16,
        "propertyNames": {"maxLength": 64},
    } in described.get("oneOf", [described])


def test_every_schema_and_every_parameter_is_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert [name for name, schema in schemas.items() if not schema.get("description")] == []
    fields = schemas["CreateSpeechRequest"]["properties"]
    assert fields["response_format"]["description"] == "Left out: `mp3`."
    assert fields["instructions"]["description"].endswith("Accepted without effect.")
    assert schemas["ChatCompletionRequest"]["properties"]["user"]["description"] == "A label. Accepted without effect."


def test_a_key_is_documented_where_one_is_set() -> None:
    document = make_app(api_key="secret").openapi_schema.to_schema()
    validate(document)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["security"] == [{"bearer": []}]
