"""The base of all spans: guarded calls, clean values, one clock, one end."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, ParamSpec

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, StatusCode, Tracer, set_span_in_context

from otel import names

__all__ = [
    "Operation",
    "clean",
    "cleaned",
    "error_type",
    "guarded",
    "nanoseconds",
    "request_id",
    "tracer",
    "use_tracer",
]

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""ID of the request that this task serves; on every span and log line."""

SCOPE = "mlx-openai-server"
_MAX_TEXT = 256
_MAX_ITEMS = 16
_INT64 = 2**63

_logger = logging.getLogger(__name__)
_tracer: Tracer | None = trace.get_tracer(SCOPE)

P = ParamSpec("P")


def tracer() -> Tracer | None:
    """The tracer in use: a no-op until `setup` (or an instrumentation of the environment) has set a provider.

    None if the environment turns everything off.
    """
    return _tracer


def use_tracer(tracer: Tracer | None) -> None:
    """Make all further spans with this tracer; None makes none."""
    global _tracer
    _tracer = tracer


def guarded(method: Callable[P, None]) -> Callable[P, None]:
    """Keep a failure of telemetry out of the request: log it at debug level and continue."""

    @functools.wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception:
            _logger.debug("telemetry failed in %s", method.__qualname__, exc_info=True)

    return wrapper


def clean(value: Any) -> Any:
    """A value that the exporter can encode; None stays None.

    One lone surrogate or one integer over 64 bits makes protobuf refuse the whole batch of spans, and clients can send
    both. Text is cut to 256 characters and sequences to 16 items.
    """
    if isinstance(value, str):
        if len(value) <= _MAX_TEXT and value.isascii():
            return value
        return value[:_MAX_TEXT].encode("utf-8", "replace").decode()
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return str(value)[:_MAX_TEXT]
    if isinstance(value, (tuple, list)):
        return tuple(clean(item) for item in value[:_MAX_ITEMS])
    return value


def cleaned(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that are not None, cleaned."""
    known = {}
    for name, value in attributes.items():
        if value is not None:
            kind = type(value)
            if kind is str:
                plain = len(value) <= _MAX_TEXT and value.isascii()
            else:
                plain = kind is float or kind is bool or (kind is int and -_INT64 <= value < _INT64)
            known[name] = value if plain else clean(value)
    return known


def error_type(error: BaseException) -> str:
    """The error's own stable `code` if it has one, else the full name of its class."""
    code = getattr(error, "code", None)
    if isinstance(code, str):
        return code
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def nanoseconds(seconds: float) -> int:
    """Seconds as nanoseconds; 0 for negative and non-finite values."""
    return int(seconds * 1e9) if math.isfinite(seconds) and seconds > 0 else 0


class Operation:
    """One span from its start to its only end. Never raises; does nothing if the span is not recording."""

    __slots__ = ("_done", "_perf_ns", "_recording", "_request_id", "_span", "_start_ns")

    def __init__(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        context: Context | None = None,
        request_id: str | None = None,
        ago: float = 0.0,
    ) -> None:
        """`ago`: seconds since what the span stands for began."""
        self._done = False
        self._request_id = request_id
        self._span: Span = INVALID_SPAN
        self._recording = False
        if (made_by := tracer()) is None:
            return
        try:
            known = cleaned({**(attributes or {}), names.REQUEST_ID: request_id})
            start = time.time_ns() - nanoseconds(ago) if ago else None
            self._span = made_by.start_span(clean(name), context=context, kind=kind, attributes=known, start_time=start)
        except Exception:
            _logger.debug("telemetry failed to start span %s", name, exc_info=True)
        self._recording = self._span.is_recording()
        if self._recording:
            self._perf_ns = time.perf_counter_ns() - nanoseconds(ago)
            self._start_ns = getattr(self._span, "start_time", None) or time.time_ns()

    def _now(self) -> int:
        """Nanoseconds since the epoch, monotonic within this span even if the wall clock is set back."""
        return int(self._start_ns + time.perf_counter_ns() - self._perf_ns)

    @guarded
    def _set(self, attributes: Mapping[str, Any]) -> None:
        """Set the attributes that are not None."""
        if known := cleaned(attributes):
            self._span.set_attributes(known)

    @guarded
    def _event(self, name: str, attributes: Mapping[str, Any] | None = None, *, ago: float = 0.0) -> None:
        """Add an event: now, or of some seconds ago, but not from before the span."""
        self._span.add_event(name, attributes, timestamp=max(self._start_ns, self._now() - nanoseconds(ago)))

    @guarded
    def _error(self, error: BaseException) -> None:
        """Record an error by code and stack trace, never by message: a message may quote the prompt."""
        kind = error_type(error)
        self._set({names.ERROR_TYPE: kind})
        self._span.set_status(StatusCode.ERROR, kind)
        if isinstance(getattr(error, "code", None), str):
            return
        frames = "".join(traceback.format_tb(error.__traceback__))
        self._span.add_event("exception", {names.EXCEPTION_TYPE: kind, names.EXCEPTION_STACKTRACE: frames})

    @guarded
    def _child(
        self,
        name: str,
        begin: int,
        end: int,
        attributes: Mapping[str, Any],
        *,
        error: BaseException | None = None,
        events: Sequence[tuple[str, int]] = (),
    ) -> None:
        """Draw a finished child, from `begin` to `end` on this span's clock, with `events` (names and times).

        `error` is the failure that ended it.
        """
        if (made_by := tracer()) is None:
            return
        known = cleaned({**attributes, names.REQUEST_ID: self._request_id})
        span = made_by.start_span(name, context=set_span_in_context(self._span), start_time=begin, attributes=known)
        for event, at in events:
            span.add_event(event, timestamp=at)
        if error is not None:
            span.set_status(StatusCode.ERROR, error_type(error))
        span.end(max(begin, end))

    @guarded
    def _end(self, at: int | None = None) -> None:
        self._span.end(self._now() if at is None else at)

    def _finish(self) -> bool:
        """Claim the only end. False if the span ended before or is not recording."""
        first = not self._done
        self._done = True
        return first and self._recording

    @staticmethod
    def _is_cancellation(error: BaseException) -> bool:
        return isinstance(error, (asyncio.CancelledError, GeneratorExit))
