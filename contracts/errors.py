"""The format of every error, in responses and in streams."""

from __future__ import annotations

import attrs

from contracts._fields import EXPLICIT_NULL

__all__ = ["Error", "ErrorResponse"]


@attrs.frozen(kw_only=True)
class Error:
    """What went wrong. `code` is stable; `param` is the path of the field, such as `messages[0].role`."""

    message: str
    type: str
    param: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    code: str


@attrs.frozen(kw_only=True)
class ErrorResponse:
    """An error as the body of a response, or as an event."""

    error: Error
