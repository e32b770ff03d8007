"""Failures in the shape that Anthropic's clients read.

Source: https://docs.anthropic.com/en/api/errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from litestar import Response

import otel
from contracts.messages.response import MessagesError, MessagesErrorResponse
from providers.errors import ServiceError
from server.errors import EXCEPTION_HANDLERS, status_of, to_wire
from server.serialization import encode_contract

__all__ = ["MESSAGES_EXCEPTION_HANDLERS", "error_body"]

Handler = Callable[[Any, Any], Response[bytes]]

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""Other statuses are `invalid_request_error` under 500 and `api_error` from there on."""


def error_body(error: ServiceError, request_id: str) -> MessagesErrorResponse:
    wire = to_wire(error).error
    return _body(status_of(error), wire.message, wire.param, wire.code, request_id)


def _body(status: int, message: str, param: str | None, code: str | None, request_id: str) -> MessagesErrorResponse:
    type_ = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    error = MessagesError(type=type_, message=message, param=param, code=code)
    return MessagesErrorResponse(error=error, request_id=request_id)


def _translated(handler: Handler) -> Handler:
    """The same handler; its envelope becomes Anthropic's."""

    def handle(request: Any, error: Any) -> Response[bytes]:
        response = handler(request, error)
        if response.content:
            wire = msgspec.json.decode(response.content)["error"]
            request_id = otel.request_id.get() or ""
            body = _body(response.status_code or 500, wire["message"], wire.get("param"), wire.get("code"), request_id)
            response.content = encode_contract(body)
        return response

    return handle


MESSAGES_EXCEPTION_HANDLERS: Mapping[type[Exception], Handler] = {
    error: _translated(handler) for error, handler in EXCEPTION_HANDLERS.items()
}
