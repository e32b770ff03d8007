"""Error responses, for the OpenAPI document."""

from __future__ import annotations

from litestar.openapi import ResponseSpec

from contracts.errors import ErrorResponse

__all__ = ["ANSWERING", "COUNTING", "OF_FILES", "OF_STORED", "PULLING", "errors"]

_DESCRIPTIONS = {
    400: "The request is malformed, has a bad value or an unsupported parameter, or exceeds the context.",
    401: "The API key is missing or wrong.",
    404: "No model has this name, or there is no such object.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "The queue is full; `Retry-After` is the time until a place may be free, in seconds.",
    500: "Something went wrong inside the server.",
    501: "The model needs an extra that is not installed; the message has the command that installs it.",
    502: "The package index or the hub of the weights does not answer, or refuses.",
    503: "The model is not ready, the server is shutting down, the request waited too long, memory ran out, or the "
    "engine died; `Retry-After` is the time until the same request may succeed, in seconds.",
    504: "The answer took longer than the request's own `timeout`.",
    507: "The model or the prompt needs more memory than there may be, or the server's disk is full or cannot be "
    "written.",
}

ANSWERING = (400, 401, 404, 413, 415, 429, 500, 501, 503, 504, 507)
"""Statuses of requests that wait in the queue for a model."""
OF_FILES = (400, 401, 404, 413, 415, 500, 503, 507)
"""Statuses of requests about files and vector stores, which wait for no model."""
OF_STORED = (400, 401, 404, 500, 503, 507)
"""Statuses of requests without a body for what the server has stored."""
PULLING = (400, 401, 404, 413, 415, 429, 500, 502, 503, 507)
"""Statuses of requests for weights."""
COUNTING = (400, 401, 404, 413, 415, 429, 500, 501, 503, 507)
"""Statuses of requests that need only the tokenizer of a model."""


def errors(*statuses: int, contract: type = ErrorResponse) -> dict[int, ResponseSpec]:
    """The responses of these statuses, with the envelope of this contract."""
    return {
        status: ResponseSpec(contract, generate_examples=False, description=_DESCRIPTIONS[status])
        for status in statuses
    }
