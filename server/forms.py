"""Forms in place of JSON: `multipart/form-data` as the contract's own types."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import attrs
from litestar.connection import ASGIConnection, Request
from litestar.datastructures import UploadFile
from litestar.exceptions import ClientException
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Guard

from providers.errors import InvalidRequest
from server.dto import ContractDTO
from server.guards import RequestTooLarge, UnsupportedMediaType

__all__ = ["FORM_BYTES", "FormDTO", "multipart_form"]

T = TypeVar("T")

FORM_BYTES = 1_000_000
"""What a form may hold beside its file."""


class FormDTO(ContractDTO[T]):
    """Decodes one contract from a form."""

    def decode_builtins(self, value: Any) -> Any:
        """Raises: InvalidRequest, with the field that is wrong as `param`."""
        return super().decode_builtins(_typed(value, self.model_type))


def multipart_form(max_file_bytes: int) -> Guard:
    """Ask for a form whose files are at most so large. Its files are on disk, past a megabyte, when it is read."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Raises:
        UnsupportedMediaType: another content type or encoding.
        InvalidRequest: the form is broken.
        RequestTooLarge: a file is.
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
        except (
            UnicodeError,
            LookupError,
            ValueError,
        ):  # text in another encoding than the part says, or an unknown one
            raise InvalidRequest("a field of the form is not text in UTF-8") from None
        for file in form.values():
            if isinstance(file, UploadFile) and _size(file) > max_file_bytes:
                raise RequestTooLarge(f"the file is larger than {max_file_bytes} bytes")

    return guard


def _size(upload: UploadFile) -> int:
    size = upload.file.seek(0, 2)
    upload.file.seek(0)
    return size


def _typed(form: Mapping[str, Any], contract: type[Any]) -> dict[str, Any]:
    """The form's values as JSON would have them; what makes no sense stays text, for the contract to refuse."""
    hints = get_type_hints(contract, include_extras=False)
    kinds = {field.alias: hints[field.name] for field in attrs.fields(contract)}
    values: dict[str, list[Any]] = {}
    for name, value in form.items():
        # `include[]` is one of a list; `chunking_strategy[type]` is part of an object.
        given = value if isinstance(value, list) else [value]
        values.setdefault(name.partition("[")[0] or name, []).extend(
            item.file if isinstance(item, UploadFile) else item for item in given
        )
    return {
        name: _as_kind(kept, kinds.get(name))
        for name, given in values.items()
        if (kept := [value for value in given if value != ""])
    }


def _as_kind(values: list[Any], kind: Any) -> Any:
    arms = set(_arms(kind))
    if list in arms:
        return values
    if len(values) > 1:
        return values
    for arm, parse in _PARSERS.items():
        if arm in arms and isinstance(values[0], str):
            return parse(values[0])
    return values[0]


def _arms(kind: Any) -> Iterator[Any]:
    """The plain types that a hint allows."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    origin = get_origin(kind)
    if origin is None or origin is list:
        yield origin or kind
    else:
        for arm in get_args(kind):
            yield from _arms(arm)


def _boolean(text: str) -> Any:
    return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower(), text)


def _number(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


_PARSERS: Mapping[type, Callable[[str], Any]] = {bool: _boolean, float: _number}
