"""Conversion of contracts for handlers, by our converter instead of Litestar's.

msgspec decodes attrs classes itself before `type_decoders` apply. It ignores cattrs hooks and cannot decode a union of
two attrs classes. A serialization plugin therefore puts a DTO in its way; ADR 2 has the reasons.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import attrs
import msgspec
from cattrs import Converter
from litestar import Response
from litestar.dto import AbstractDTO, DTOConfig
from litestar.plugins import SerializationPlugin
from litestar.typing import FieldDefinition

from contracts.chat.response import ChatCompletion, ChatCompletionChunk
from contracts.conversion.validation import is_validation_error
from contracts.images import ImagesResponse, ImageStreamEvent
from contracts.messages.response import Message, MessageStreamEvent
from contracts.responses.events import ResponseStreamEvent
from contracts.responses.response import Response as ResponseContract
from contracts.service.pull import PulledModel, PullProgress
from contracts.speech import SpeechStreamEvent, SpeechWithTimings
from contracts.transcription import Transcription, TranscriptionStreamEvent, TranscriptionVerbose
from providers.errors import InvalidRequest
from server.errors import invalid_body
from server.large_bodies import decoded_ahead
from server.noted import note_unknown
from server.serialization import converter

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.dto._backend import DTOBackend
    from litestar.dto.data_structures import DTOFieldDefinition
    from litestar.openapi.spec import Reference, Schema

__all__ = ["ContractDTO", "ContractPlugin"]

T = TypeVar("T")

STREAMED_AS: Mapping[Any, Any] = {
    ChatCompletion: ChatCompletionChunk,
    ImagesResponse: ImageStreamEvent,
    PulledModel: PullProgress,
    Message: MessageStreamEvent,
    ResponseContract: ResponseStreamEvent,
    SpeechWithTimings: SpeechStreamEvent,
    Transcription | TranscriptionVerbose: TranscriptionStreamEvent,
}
"""The events of the stream that an answer may come as."""


class ContractDTO(AbstractDTO[T]):
    """Decodes and encodes one contract."""

    config = DTOConfig()
    converter: ClassVar[Converter] = converter

    def decode_bytes(self, value: bytes) -> Any:
        """Raises: InvalidRequest; `param` is the path of the wrong value."""
        if (ahead := decoded_ahead(self.asgi_connection.scope)) is not None:
            return ahead
        try:
            decoded = msgspec.json.decode(value)
        except RecursionError:
            raise InvalidRequest("the body is nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._locate(value)
            raise InvalidRequest(f"the body is not valid JSON: {error}") from None
        return self.decode_builtins(decoded)

    def decode_builtins(self, value: Any) -> Any:
        """Raises:
        InvalidRequest: `param` is the path of the wrong value.
        UnsupportedParameter: an unknown field, where the server has `--strict-parameters`.
        """
        value = _with_extra_body(value)
        try:
            contract = self.converter.structure(value, self.model_type)
        except Exception as error:
            if not is_validation_error(error):
                raise
            raise invalid_body(error) from None
        if isinstance(value, dict):  # and no empty array, which the converter takes for an empty object
            note_unknown(value, contract)
        return contract

    def _locate(self, value: bytes) -> None:
        """Raise with a path where only NaN, Infinity or half a surrogate pair keeps the body from being JSON.

        Python's own decoder accepts those, and the converter reports where it found them.
        """
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            return
        self.decode_builtins(decoded)

    def data_to_encodable_type(self, data: Any) -> Any:
        if isinstance(data, Response):
            if attrs.has(type(data.content)):
                data.content = converter.unstructure(data.content)
            return data
        return converter.unstructure(data)

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Generator[DTOFieldDefinition, None, None]:
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False

    @classmethod
    def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
        return True

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: type[DTOBackend] | None = None
    ) -> None:
        """Build nothing: there is no transfer model between the bytes and the contract."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: SchemaCreator
    ) -> Reference | Schema:
        if field_definition.is_subclass_of(Response):
            field_definition = field_definition.inner_types[0]
        if (chunk := STREAMED_AS.get(field_definition.annotation)) is not None:
            # No operation refers to it: OpenAPI 3.1 cannot describe the events of a stream.
            schema_creator.for_field_definition(FieldDefinition.from_annotation(chunk))
        return schema_creator.for_field_definition(field_definition)


class ContractPlugin(SerializationPlugin):
    """Gives a `ContractDTO` to every handler that takes or returns a contract."""

    def supports_type(self, field_definition: FieldDefinition) -> bool:
        annotation = field_definition.annotation
        return isinstance(annotation, type) and attrs.has(annotation) and annotation.__module__.startswith("contracts.")

    def create_dto_for_type(self, field_definition: FieldDefinition) -> type[AbstractDTO[Any]]:
        contract = next(field.annotation for field in _nested(field_definition) if self.supports_type(field))
        return ContractDTO[contract]  # type: ignore[valid-type]


def _with_extra_body(value: Any) -> Any:
    """The body with the fields of its `extra_body`.

    OpenAI's Python client merges this argument into the body. Users of other clients send it as a field.
    """
    if isinstance(value, dict) and isinstance(extra := value.get("extra_body"), dict):
        return {**extra, **{name: field for name, field in value.items() if name != "extra_body"}}
    return value


def _nested(field: FieldDefinition) -> Iterator[FieldDefinition]:
    """The field and the types inside it: `Response[A | B]`, the union, A, B."""
    yield field
    for inner in field.inner_types:
        yield from _nested(inner)
