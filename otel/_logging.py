"""Log lines: structlog and the standard library through one formatter, each with its request and trace."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

from otel._core import request_id

__all__ = ["LogFormat", "configure_logging", "get_logger"]

LogFormat = Literal["console", "json"]

_QUIET = {
    "_granian": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "urllib3": logging.WARNING,
}
"""Loggers that chatter below this level (`_granian`: one line per chunk sent after a disconnect)."""
_OWN_HANDLERS = ("_granian", "granian.access", "litestar", "huggingface_hub", "transformers")
"""Loggers that bring handlers of their own."""


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structlog logger; may be made at import, before `configure_logging`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def configure_logging(level: str = "info", fmt: LogFormat = "console") -> None:
    """Send every log line of this process to standard error, as text or as one JSON object a line.

    Call it once in every process; calling it again replaces what it set.

    Raises:
        ValueError: no such level or format.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level {level!r}")
    if fmt not in ("console", "json"):
        raise ValueError(f"unknown log format {fmt!r}: console or json")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _add_ids,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(fmt)],
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    _route(handler, number)


def _renderers(fmt: LogFormat) -> list[Processor]:
    # Both renderers' richer tracebacks print local variables, and those hold prompts.
    if fmt == "json":
        return [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )
    ]


def _route(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name, floor in _QUIET.items():
        logging.getLogger(name).setLevel(max(floor, level))


def _add_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add `request_id`, and `trace_id` and `span_id` where a trace is current."""
    identifier = request_id.get()
    if identifier is not None:
        event.setdefault("request_id", identifier)
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event
