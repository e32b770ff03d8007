"""Requests as `multipart/form-data` instead of JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs
from litestar.connection import ASGIConnection, Request
from litestar.datastructures import UploadFile
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Guard
from multipart import MultipartSegment, ParserError, ParserLimitReached, PushMultipartParser

from providers.errors import InvalidRequest
from server.dto import ContractDTO
from server.guards import RequestTooLarge, UnsupportedMediaType, refuse_when_full
from server.serialization import form_converter

__all__ = ["FORM_BYTES", "FormDTO", "multipart_form"]

T = TypeVar("T")

FORM_BYTES = 1_000_000
"""Bytes of a form besides its file."""
MAX_PARTS = 1000
CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252"})
"""Encodings that decode in linear time, and that clients send."""


class FormDTO(ContractDTO[T]):
    """Decodes one contract from a form."""

    converter = form_converter

    def decode_builtins(self, value: Any) -> Any:
        """Raises: InvalidRequest; `param` is the wrong field."""
        return super().decode_builtins(_fields(value))


def multipart_form(max_file_bytes: int) -> Guard:
    """Require a form whose files have up to `max_file_bytes`, of handlers with a `FormDTO`.

    A file over a megabyte is on disk after it was read.
    """

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Raises:
        UnsupportedMediaType: another content type or encoding.
        InvalidRequest: the form is broken.
        RequestTooLarge: a file is too large.
        QueueFull: no model has room for the request.
        """
        dto = handler.resolve_data_dto()
        if dto is None or not issubclass(dto, FormDTO):
            return
        assert isinstance(connection, Request)
        given, options = connection.content_type
        if given.strip().lower() != "multipart/form-data":
            raise UnsupportedMediaType(f"content type {given[:64]!r} is not supported; send multipart/form-data")
        if connection.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType("a compressed body is not supported")
        if not options.get("boundary"):
            raise InvalidRequest("the content type of the form names no boundary")
        refuse_when_full(connection, handler)
        form = await _read(connection, options["boundary"], max_file_bytes)
        connection._connection_state.form = form  # where `Request.form` keeps what it has parsed

    return guard


async def _read(request: Request[Any, Any, Any], boundary: str, max_file_bytes: int) -> dict[str, Any]:
    """The form's values by name, those of a repeated name in a list.

    Litestar's own reader decodes text by any codec that its part names, on the event loop. `punycode` takes seconds for
    200 kB, in quadratic time.
    """
    fields: dict[str, list[str | UploadFile]] = {}
    empty = True
    part: MultipartSegment | None = None
    value: UploadFile | bytearray = bytearray()
    try:
        with PushMultipartParser(boundary.encode("latin-1"), max_segment_count=MAX_PARTS) as parser:
            async for chunk in request.stream():
                empty = empty and not chunk
                for piece in parser.parse(chunk):
                    if isinstance(piece, MultipartSegment):
                        part, value = piece, _begin(piece)
                    elif piece and isinstance(value, UploadFile):
                        await value.write(piece)
                    elif piece:
                        assert isinstance(value, bytearray)
                        value += piece
                    elif part is not None:
                        fields.setdefault(part.name, []).append(await _end(part, value, max_file_bytes))
                        part = None
    except (ParserError, ParserLimitReached):
        if empty:
            return {}
        raise InvalidRequest("the form is broken, or cut off") from None
    return {name: values if len(values) > 1 else values[0] for name, values in fields.items()}


def _begin(part: MultipartSegment) -> UploadFile | bytearray:
    if not part.filename:
        return bytearray()
    return UploadFile(content_type=part.content_type or "text/plain", filename=part.filename)


async def _end(part: MultipartSegment, value: UploadFile | bytearray, max_file_bytes: int) -> str | UploadFile:
    """Raises:
    InvalidRequest: the text is in another encoding than its part declares, or in one that is not read.
    RequestTooLarge: the file is too large.
    """
    if isinstance(value, UploadFile):
        if value.file.seek(0, 2) > max_file_bytes:
            raise RequestTooLarge(f"the file is larger than {max_file_bytes:,} bytes; --max-upload sets this limit")
        await value.seek(0)
        return value
    charset = (part.charset or "utf-8").lower()
    try:
        if charset in CHARSETS:
            return value.decode(charset)
    except UnicodeError:
        pass
    raise InvalidRequest(f"{part.name[:64]}: the field is not text in UTF-8", param=part.name[:64])


@attrs.frozen
class _File:
    """Implements `contracts.uploads.Upload`."""

    filename: str
    read: Callable[..., bytes]
    close: Callable[[], None]


def _fields(form: Mapping[str, Any]) -> dict[str, Any]:
    """The form's values by field, without the empty ones. A field that was sent several times has a list."""
    values: dict[str, list[Any]] = {}
    for name, value in form.items():
        # `include[]` and `include[0]` are of a list; `expires_after[anchor]` is part of an object.
        given = [_value(item) for item in (value if isinstance(value, list) else [value]) if item != ""]
        field, _, part = name.partition("[")
        part = part.removesuffix("]")
        if not field or not part or part.isdigit() or not given:
            values.setdefault(field or name, []).extend(given)
        elif isinstance(found := values.setdefault(field, [{}])[0], dict):
            found[part] = given if len(given) > 1 else given[0]
        else:
            values[field].extend(given)
    return {name: given if len(given) > 1 else given[0] for name, given in values.items() if given}


def _value(item: str | UploadFile) -> Any:
    if isinstance(item, UploadFile):
        return _File(item.filename, item.file.read, item.file.close)
    return item
