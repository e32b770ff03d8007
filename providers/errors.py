"""The errors that this service reports, as one tree.

    ServiceError                  a failure that the client receives, with a stable code
    ├─ InvalidRequest             a value in the request cannot be used
    │  ├─ ContextLengthExceeded   the prompt does not fit the model's context
    │  └─ UnsupportedParameter    the parameter is known, but this model or server cannot honour it
    ├─ InvalidApiKey              an API key is set, and the request lacks it
    ├─ HostNotAllowed             the request is for another host than this machine: DNS rebinding
    ├─ NotFound                   no such path or object
    │  ├─ ModelNotFound           no model has this name, or the request names none of several
    │  └─ PreviousResponseNotFound  the response to continue was never stored, expired, or was deleted
    ├─ ExtraNotInstalled          the model needs an extra that is not installed: trying again does not help
    ├─ QueueFull                  the number of waiting requests has reached its limit
    ├─ QueueTimeout               the request waited longer than the queue allows
    ├─ GenerationTimeout          the answer took longer than the request's own `timeout`
    ├─ ModelNotReady              the model is loading, restarting or shutting down: try again
    ├─ EngineCrashed              the process that held the model died under the request
    ├─ DoesNotFit                 the model needs more memory than the server's models may have: nothing was loaded
    ├─ OutOfMemory                memory ran out, or would: the request may fit once others have ended
    ├─ PromptDoesNotFit           the memory that the model may use cannot hold the prompt
    ├─ SourceUnreachable          the package index or the hub of the weights does not answer, or refuses
    ├─ StorageFailed              the disk is full, or cannot be written for another reason
    └─ InternalError              unforeseen; the message contains no internals

No error has an HTTP status; `server/errors.py` holds those. Errors cross the engine's socket as their code and fields
(`to_fields`, `from_fields`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

__all__ = [
    "ContextLengthExceeded",
    "DoesNotFit",
    "EngineCrashed",
    "ExtraNotInstalled",
    "GenerationTimeout",
    "HostNotAllowed",
    "InternalError",
    "InvalidApiKey",
    "InvalidRequest",
    "ModelNotFound",
    "ModelNotReady",
    "NotFound",
    "OutOfMemory",
    "PreviousResponseNotFound",
    "PromptDoesNotFit",
    "QueueFull",
    "QueueTimeout",
    "RateLimitExceeded",
    "ServiceError",
    "SourceUnreachable",
    "StorageFailed",
    "UnsupportedParameter",
]


_BY_CODE: dict[str, type[ServiceError]] = {}
"""Filled as classes are defined."""


class ServiceError(Exception):
    """A failure that the client receives. `code` is stable; `type` is OpenAI's class of error."""

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
    """The prompt does not fit the model's context."""

    code = "context_length_exceeded"


class UnsupportedParameter(InvalidRequest):
    """The parameter is known, but this model or server cannot honour it."""

    code = "unsupported_parameter"


class InvalidApiKey(ServiceError):
    """An API key is set, and the request lacks it."""

    type = "invalid_request_error"
    code = "invalid_api_key"


class HostNotAllowed(ServiceError):
    """Raised when a request to a server on loopback has another `Host`."""

    type = "invalid_request_error"
    code = "host_not_allowed"


class NotFound(ServiceError):
    """No such path or object."""

    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """No model has this name, or the request names none of several."""

    code = "model_not_found"


class PreviousResponseNotFound(NotFound):
    """The response to continue was never stored, expired, or was deleted."""

    code = "previous_response_not_found"


class ExtraNotInstalled(ServiceError):
    """The model needs an extra that is not installed; the message has the command that installs it."""

    code = "extra_not_installed"


class QueueFull(ServiceError):
    """The number of waiting requests has reached its limit."""

    type = "rate_limit_error"
    code = "queue_full"


class RateLimitExceeded(ServiceError):
    """The client has sent more requests than it may in this time."""

    type = "rate_limit_error"
    code = "rate_limit_exceeded"


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
        """The refusal of a server that is stopping, or of a model in it."""
        return cls("the server is shutting down", retry_after=retry_after)


class EngineCrashed(ServiceError):
    """The process that held the model died under the request."""

    code = "engine_crashed"


class DoesNotFit(ServiceError):
    """The model needs more memory than the limit of all models leaves beside the pinned ones."""

    code = "model_does_not_fit"


class OutOfMemory(ServiceError):
    """Memory ran out, and this was the newest request, or other requests leave too little for its prompt.

    It may fit once they have ended.
    """

    code = "out_of_memory"


class StorageFailed(ServiceError):
    """The disk is full, or cannot be written for another reason, and the request has to write."""

    code = "storage_failed"


class PromptDoesNotFit(ServiceError):
    """The memory that the model may use cannot hold the prompt's keys and values: trying again does not help."""

    code = "prompt_does_not_fit"


class SourceUnreachable(ServiceError):
    """The package index or the hub of the weights does not answer, or refuses."""

    code = "source_unreachable"


class InternalError(ServiceError):
    """An unforeseen failure; the message contains no internals."""

    code = "internal_error"

    @classmethod
    def unforeseen(cls) -> Self:
        """An exception that no code expected. Its stack trace belongs in the log."""
        return cls("an internal error occurred; the server's log has the details under this request's ID")

    @classmethod
    def truncated(cls, what: str) -> Self:
        """An answer whose events stopped before the last one. `what` names it, such as `answer` or `speech`."""
        return cls(f"the {what} ended without a last event")
