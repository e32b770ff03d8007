"""Requests as `multipart/form-data` instead of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from litestar.connection import ASGIConnection, Request
from litestar.datastructures import UploadFile
from litestar.exceptions import ClientException
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Guard

from providers.errors import InvalidRequest
from server.dto import ContractDTO
from server.guards import RequestTooLarge, UnsupportedMediaType
from server.serialization import form_converter

__all__ = ["FORM_BYTES", "FormDTO", "multipart_form"]

T = TypeVar("T")

FORM_BYTES = 1_000_000
"""Bytes of a form besides its file."""


class FormDTO(ContractDTO[T]):
    """Decodes one contract from a form."""

    converter = form_converter

    def decode_builtins(self, value: Any) -> Any:
        """Raises: InvalidRequest; `param` is the wrong field."""
        return super().decode_builtins(_fields(value))


def multipart_form(max_file_bytes: int) -> Guard:
    """Require a form whose files have up to `max_file_bytes`. A file over a megabyte is on disk after it was read."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Raises:
        UnsupportedMediaType: another content type or encoding.
        InvalidRequest: the form is broken.
        RequestTooLarge: a file is too large.
        """
        assert isinstance(connection, Request)
        given, options = connection.content_type
        if given.strip().lower() != "multipart/form-data":
            raise UnsupportedMediaType(f"content type {given[:64]!r} is not supported; send multipart/form-data")
        if connection.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType("a compressed body is not supported")
        if not options.get("boundary"):
            raise InvalidRequest("the content type of the form names no boundary")
        try:
            form = await connection.form()
        except ClientException as error:
            if error.status_code != 400:
                raise
            raise InvalidRequest("the form is broken, or cut off") from None
        except (UnicodeError, LookupError, ValueError):
            # The text is in another encoding than its part declares, or that encoding is unknown.
            raise InvalidRequest("a field of the form is not text in UTF-8") from None
        for file in form.values():
            if isinstance(file, UploadFile) and _size(file) > max_file_bytes:
                raise RequestTooLarge(f"the file is larger than {max_file_bytes} bytes")

    return guard


def _size(upload: UploadFile) -> int:
    size = upload.file.seek(0, 2)
    upload.file.seek(0)
    return size


def _fields(form: Mapping[str, Any]) -> dict[str, Any]:
    """The form's values by field, without the empty ones. A field that was sent several times has a list."""
    values: dict[str, list[Any]] = {}
    for name, value in form.items():
        # `include[]` is one of a list; `chunking_strategy[type]` is part of an object.
        given = value if isinstance(value, list) else [value]
        values.setdefault(name.partition("[")[0] or name, []).extend(
            item.file if isinstance(item, UploadFile) else item for item in given if item != ""
        )
    return {name: given if len(given) > 1 else given[0] for name, given in values.items() if given}
