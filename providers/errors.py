"""Every error this service reports, as one tree.

    ServiceError                  something the client is told about, with a stable code
    ├─ InvalidRequest             a value in the request cannot be used
    │  ├─ ContextLengthExceeded   the prompt, or prompt and answer, do not fit the model's context
    │  └─ UnsupportedParameter    the parameter is known, but this model or server cannot honour it
    ├─ InvalidApiKey              an API key is set, and the request did not bring it
    ├─ NotFound                   no such path or object
    │  ├─ ModelNotFound           no model of this name, or several and none was named
    │  └─ PreviousResponseNotFound  the response to continue was never stored, or is no more
    ├─ ExtraNotInstalled          the model needs an extra that is not installed: trying again does not help
    ├─ QueueFull                  as many requests wait as may wait
    ├─ QueueTimeout               the request waited longer than the queue allows
    ├─ GenerationTimeout          the answer took longer than the request's own `timeout`
    ├─ ModelNotReady              loading, restarting, or shutting down: try again
    ├─ EngineCrashed              the process that held the model died under the request
    └─ InternalError              unforeseen; the message says nothing of the inside

Nothing here knows of HTTP: statuses live in `server/errors.py`. Errors cross the engine's socket as their
code and fields (`to_fields`, `from_fields`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

__all__ = [
    "ContextLengthExceeded",
    "EngineCrashed",
    "ExtraNotInstalled",
    "GenerationTimeout",
    "InternalError",
    "InvalidApiKey",
    "InvalidRequest",
    "ModelNotFound",
    "ModelNotReady",
    "NotFound",
    "PreviousResponseNotFound",
    "QueueFull",
    "QueueTimeout",
    "ServiceError",
    "UnsupportedParameter",
]


_BY_CODE: dict[str, type[ServiceError]] = {}
"""Filled as classes are defined."""


class ServiceError(Exception):
    """Something the client is told about. `code` is stable, `type` is OpenAI's class of error."""

    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"

    def __init_subclass__(cls) -> None:
        """Enter the class into the table that `from_fields` reads, by the code that it declares.

        Raises:
            TypeError: another class has this code.
        """
        super().__init_subclass__()
        code = vars(cls).get("code")
        if code is not None and _BY_CODE.setdefault(code, cls) is not cls:
            raise TypeError(f"{cls.__name__} has the code {code!r} of {_BY_CODE[code].__name__}")

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        """Path of the offending field, e.g. `messages[0].role`."""
        self.retry_after = retry_after
        """Seconds after which the same request may succeed."""

    def to_fields(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "param": self.param, "retry_after": self.retry_after}

    @staticmethod
    def from_fields(code: str, message: str, param: str | None, retry_after: float | None) -> ServiceError:
        """Rebuild an error from `to_fields`; an unknown code becomes `InternalError`."""
        return _BY_CODE.get(code, InternalError)(message, param=param, retry_after=retry_after)


class InvalidRequest(ServiceError):
    """A value in the request cannot be used."""

    type = "invalid_request_error"
    code = "invalid_request_error"


class ContextLengthExceeded(InvalidRequest):
    """The prompt, or prompt and answer together, do not fit the model's context."""

    code = "context_length_exceeded"


class UnsupportedParameter(InvalidRequest):
    """The parameter is known, but this model or server cannot honour it."""

    code = "unsupported_parameter"


class InvalidApiKey(ServiceError):
    """An API key is set, and the request did not bring it."""

    type = "invalid_request_error"
    code = "invalid_api_key"


class NotFound(ServiceError):
    """No such path or object."""

    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """No model of this name, or several and none was named."""

    code = "model_not_found"


class PreviousResponseNotFound(NotFound):
    """The response to continue was never stored, expired, or was deleted."""

    code = "previous_response_not_found"


class ExtraNotInstalled(ServiceError):
    """The model needs an extra that is not installed; the message has the command that installs it."""

    code = "extra_not_installed"


class QueueFull(ServiceError):
    """As many requests wait as may wait."""

    type = "rate_limit_error"
    code = "queue_full"


class QueueTimeout(ServiceError):
    """The request waited longer than the queue allows."""

    code = "queue_timeout"


class GenerationTimeout(ServiceError):
    """The answer took longer than the request's own `timeout`."""

    code = "timeout"


class ModelNotReady(ServiceError):
    """The model is loading, restarting or shutting down: try again."""

    code = "model_not_ready"

    @classmethod
    def shutting_down(cls, *, retry_after: float = 5.0) -> Self:
        """The refusal of a server that stops, and of what belongs to it. Another server may answer in its place."""
        return cls("the server is shutting down", retry_after=retry_after)


class EngineCrashed(ServiceError):
    """The process that held the model died under the request."""

    code = "engine_crashed"


class InternalError(ServiceError):
    """Unforeseen; the message says nothing of the inside."""

    code = "internal_error"

    @classmethod
    def unforeseen(cls) -> Self:
        """What a client reads of an exception that nothing expected; its stack trace belongs in the log."""
        return cls("an internal error occurred; the server's log has the details under this request's ID")

    @classmethod
    def truncated(cls, what: str) -> Self:
        """The events of an answer stopped before the one that ends it. `what` names the answer: `answer`, `speech`."""
        return cls(f"the {what} ended without a last event")
