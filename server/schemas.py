"""Contracts in the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.plugins.attrs import AttrsSchemaPlugin
from litestar.typing import FieldDefinition

from contracts.uploads import Upload

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.openapi.spec import Schema

__all__ = ["ContractSchemaPlugin"]


class ContractSchemaPlugin(AttrsSchemaPlugin):
    """Litestar's schema of an attrs class, and of the files in a form."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return value is Upload or AttrsSchemaPlugin.is_plugin_supported_type(value)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        if field_definition.annotation is Upload:
            return schema_creator.for_upload_file(field_definition)
        return super().to_openapi_schema(field_definition, schema_creator)
