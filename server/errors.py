"""Failures as HTTP responses: the only module that maps errors to statuses.

failure                                      status
InvalidRequest and its subclasses            400
InvalidApiKey                                401
HostNotAllowed                               403
NotFound, ModelNotFound                      404
QueueFull, RateLimitExceeded                 429
ModelNotReady, QueueTimeout, EngineCrashed   503
OutOfMemory                                  503
SourceUnreachable                            502
PromptDoesNotFit                             507
GenerationTimeout                            504
ExtraNotInstalled                            501
StorageFailed, a full disk                   507
InternalError, anything unforeseen           500
DoesNotFit                                   507
routing and body errors of Litestar          404, 405, 408, 413, 415, 400
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import Scope

import otel
from contracts.conversion.validation import problems
from contracts.errors import Error, ErrorResponse
from providers.errors import (
    DoesNotFit,
    EngineCrashed,
    ExtraNotInstalled,
    GenerationTimeout,
    HostNotAllowed,
    InternalError,
    InvalidApiKey,
    InvalidRequest,
    ModelNotReady,
    NotFound,
    OutOfMemory,
    PromptDoesNotFit,
    QueueFull,
    QueueTimeout,
    RateLimitExceeded,
    ServiceError,
    SourceUnreachable,
    StorageFailed,
)
from server.full_disk import is_full_disk
from server.serialization import encode_contract

__all__ = [
    "CLIENT_CLOSED_REQUEST",
    "DISCONNECTED",
    "EXCEPTION_HANDLERS",
    "FAILURE",
    "ClientDisconnected",
    "as_service_error",
    "error_response",
    "invalid_body",
    "note_failure",
    "status_of",
    "to_wire",
]

_STATUSES: Mapping[type[ServiceError], HTTPStatus] = {
    InvalidRequest: HTTPStatus.BAD_REQUEST,
    InvalidApiKey: HTTPStatus.UNAUTHORIZED,
    HostNotAllowed: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    ExtraNotInstalled: HTTPStatus.NOT_IMPLEMENTED,
    QueueFull: HTTPStatus.TOO_MANY_REQUESTS,
    RateLimitExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    ModelNotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    QueueTimeout: HTTPStatus.SERVICE_UNAVAILABLE,
    EngineCrashed: HTTPStatus.SERVICE_UNAVAILABLE,
    OutOfMemory: HTTPStatus.SERVICE_UNAVAILABLE,
    PromptDoesNotFit: HTTPStatus.INSUFFICIENT_STORAGE,
    GenerationTimeout: HTTPStatus.GATEWAY_TIMEOUT,
    StorageFailed: HTTPStatus.INSUFFICIENT_STORAGE,
    DoesNotFit: HTTPStatus.INSUFFICIENT_STORAGE,
    SourceUnreachable: HTTPStatus.BAD_GATEWAY,
    ServiceError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_HTTP_CODES: Mapping[int, str] = {
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
}
"""Codes of Litestar's own refusals; other statuses under 500 are `invalid_request_error`."""

DISCONNECTED = "disconnected"
"""Key of `scope["state"]`: the client went away."""

FAILURE = "failure"
"""Key of `scope["state"]`: the `ServiceError` that the request ended with."""

CLIENT_CLOSED_REQUEST = 499
"""The status that nginx logs where the client has gone away."""

_log = otel.get_logger("server")


class ClientDisconnected(Exception):
    """The client went away before its answer was complete. No client reads what is sent after it."""


def status_of(error: ServiceError) -> int:
    """The HTTP status of an error."""
    return next(int(_STATUSES[cls]) for cls in type(error).__mro__ if cls in _STATUSES)


def to_wire(error: ServiceError) -> ErrorResponse:
    """The error envelope. Half a surrogate pair in a quotation from the request is escaped: JSON cannot hold it."""
    param = None if error.param is None else _encodable(error.param)
    return ErrorResponse(error=Error(message=_encodable(error.message), type=error.type, param=param, code=error.code))


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def as_service_error(error: BaseException) -> ServiceError:
    """The error itself, or `StorageFailed` or `InternalError.unforeseen` in its place.

    An internal error's stack trace is logged.
    """
    if isinstance(error, ServiceError) and not isinstance(error, InternalError):
        return error
    if is_full_disk(error):
        _log.error("the disk cannot be written", reason=str(error))
        return StorageFailed("the server's disk is full, or cannot be written")
    _log.error("unforeseen error", exc_info=error)
    if isinstance(error, InternalError):
        return error
    return InternalError.unforeseen()


def invalid_body(error: Exception) -> InvalidRequest:
    """The first problem of a body that is JSON and does not fit its contract."""
    first, *others = problems(error)
    more = f" (and {len(others)} more: {', '.join(other.path or 'body' for other in others[:5])})" if others else ""
    return InvalidRequest(f"{first.path or 'body'}: {first.message}{more}", param=first.path)


def error_response(error: ServiceError) -> Response[bytes]:
    """The envelope with its status, and `Retry-After` in whole seconds where the same request may succeed later."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if status in (429, 503):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after or 1)))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return _response(to_wire(error), status, headers)


def _response(body: ErrorResponse, status: int, headers: dict[str, str]) -> Response[bytes]:
    return Response(encode_contract(body), status_code=status, headers=headers, media_type="application/json")


def note_failure(scope: Scope, error: ServiceError) -> None:
    """Report the failure to the request's span and log line, whatever status was sent."""
    scope["state"][FAILURE] = error


def _on_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    known = as_service_error(error)
    note_failure(request.scope, known)
    return error_response(known)


def _on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Litestar's refusals: no such path, wrong method, body too large, and other bad requests."""
    status = error.status_code
    if status >= 500:
        return _on_unforeseen(request, error)
    message = {
        404: f"there is no {request.method} {request.scope['path']}",
        405: f"{request.scope['path']} does not support {request.method}",
        413: "the request body is too large; --max-body-size sets the limit, and --max-upload that of a file"
        if isinstance(error, RequestEntityTooLarge)
        else error.detail,
    }.get(status, error.detail)
    code = _HTTP_CODES.get(status, "invalid_request_error")
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return _response(
        ErrorResponse(error=Error(message=_encodable(message), type="invalid_request_error", code=code)),
        status,
        headers,
    )


def _on_disconnect(_: Request[Any, Any, Any], __: ClientDisconnected) -> Response[bytes]:
    return Response(b"", status_code=CLIENT_CLOSED_REQUEST)


def _on_unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    if isinstance(error, InternalServerException) and request.scope["state"].get(DISCONNECTED):
        return Response(b"", status_code=CLIENT_CLOSED_REQUEST)  # Litestar turns a body that never arrived into a 500
    return _on_error(request, error)


EXCEPTION_HANDLERS: dict[type[Exception], Callable[[Any, Any], Response[bytes]]] = {
    ServiceError: _on_error,
    HTTPException: _on_http_exception,
    ClientDisconnected: _on_disconnect,
    Exception: _on_unforeseen,
}
"""By class only: Litestar prefers a status key to every class key."""
