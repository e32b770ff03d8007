"""The contracts in the OpenAPI document."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import annotated_types as at
import attrs
from litestar.openapi.spec import Reference, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.plugins.attrs import AttrsSchemaPlugin
from litestar.typing import FieldDefinition

from contracts.bounds import MaxKeyLen
from contracts.parameters import Parameter, parameters
from contracts.uploads import Upload

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator

__all__ = ["ContractSchemaPlugin"]

_LINK = re.compile(r"\s*See \[[^]]*\]\([^)]*\)\.")
"""A note's reference to a section of its page in `docs/`."""


class ContractSchemaPlugin(AttrsSchemaPlugin):
    """Litestar's schema of an attrs class, with the descriptions of the class and of its parameters; and of files."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return value is Upload or AttrsSchemaPlugin.is_plugin_supported_type(value)

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        # Litestar describes an object with bounds as an array.
        return _is_bounded_object(field_definition) or self.is_plugin_supported_type(field_definition.annotation)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        if field_definition.annotation is Upload:
            return schema_creator.for_upload_file(field_definition)
        if _is_bounded_object(field_definition):
            return _bounded_object(field_definition, schema_creator)
        schema = super().to_openapi_schema(field_definition, schema_creator)
        contract = field_definition.type_
        for described in (schema.properties or {}).values():
            _drop_length(described)
        schema.description = _paragraphs(contract)
        for name, parameter in parameters(contract).items():
            if schema.properties and (description := _description(parameter)):
                schema.properties[name].description = description
        _use_aliases(contract, schema)
        return schema


def _use_aliases(contract: type[attrs.AttrsInstance], schema: Schema) -> None:
    """Give fields the names that they have in JSON, where these are others."""
    aliases = {field.name: field.alias for field in attrs.fields(contract) if field.alias not in (None, field.name)}
    if aliases and schema.properties:
        schema.properties = {aliases.get(name) or name: field for name, field in schema.properties.items()}
        schema.required = [aliases.get(name) or name for name in schema.required or ()]


def _is_bounded_object(field: FieldDefinition) -> bool:
    return field.is_mapping and any(isinstance(bound, at.MaxLen | MaxKeyLen) for bound in field.metadata)


def _bounded_object(field: FieldDefinition, creator: SchemaCreator) -> Schema:
    _, values = field.inner_types
    schema = Schema(type=OpenAPIType.OBJECT, additional_properties=creator.for_field_definition(values))
    for bound in field.metadata:
        if isinstance(bound, at.MaxLen):
            schema.max_properties = bound.max_length
        elif isinstance(bound, MaxKeyLen):
            schema.property_names = Schema(max_length=bound.max_length)
    return schema


def _drop_length(schema: Schema | Reference) -> None:
    """Remove the bound that Litestar adds to each bounded field, and that strings only have, from objects."""
    if isinstance(schema, Schema):
        for form in (schema, *(schema.one_of or ())):
            if isinstance(form, Schema) and form.type == OpenAPIType.OBJECT:
                form.max_length = None


def _paragraphs(contract: type[attrs.AttrsInstance]) -> str | None:
    """The class's own docstring, with its lines joined."""
    text = inspect.cleandoc(contract.__doc__ or "")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n")) or None


def _description(parameter: Parameter) -> str:
    parts = [_LINK.sub("", parameter.note).strip()]
    if parameter.status == "noted":
        parts.append("Accepted without effect.")
    if parameter.status == "refused":
        parts.append(f"Refused unless {parameter.accepted_text}." if parameter.accepted_text else "Refused.")
    if parameter.default is not None or parameter.otherwise:
        parts.append(f"Left out: {parameter.default_text}.")
    return " ".join(filter(None, parts))
