"""The base of spans that are the parents of what is started in their block."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, Self

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import set_span_in_context

from otel import names
from otel._operations.operation import Operation

__all__ = ["Block"]


class Block(Operation):
    """A span that ends with its block. Spans started in the block are its children."""

    __slots__ = ("_token",)

    def __init__(self, name: str, *, attributes: Mapping[str, Any], request_id: str, ago: float = 0.0) -> None:
        super().__init__(name, attributes=attributes, request_id=request_id, ago=ago)
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        if self._recording:
            self._token = context_api.attach(set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            context_api.detach(self._token)
        if not self._finish():
            return
        if error is not None and not self._is_cancellation(error):
            self._error(error)
        elif error is not None:
            self._set({names.CANCELLED: True})
        self._end()
