"""Error responses, for the OpenAPI document."""

from __future__ import annotations

from litestar.openapi import ResponseSpec

from contracts.errors import ErrorResponse

__all__ = ["errors"]

_DESCRIPTIONS = {
    400: "The request cannot be used: malformed, a bad value, over the context, or an unsupported parameter.",
    401: "No API key, or a wrong one.",
    404: "No such model.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "As many requests wait as may wait; `Retry-After` says when to come back.",
    500: "Something went wrong inside the server.",
    501: "The model needs an extra that is not installed; the message has the command that installs it.",
    503: "Not ready, shutting down, waited too long, or the engine died; `Retry-After` says when to come back.",
    504: "The answer took longer than the request's own `timeout`.",
}


def errors(*statuses: int, contract: type = ErrorResponse) -> dict[int, ResponseSpec]:
    """Every one of these statuses with the envelope of this contract."""
    return {
        status: ResponseSpec(contract, generate_examples=False, description=_DESCRIPTIONS[status])
        for status in statuses
    }
