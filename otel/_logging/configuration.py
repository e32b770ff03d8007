"""Log lines: structlog and the standard library through one formatter, each with its request and trace."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import trace

from otel._logging.bounded import BoundedHandler, without_buffer
from otel._logging.plain_structlog import structlog
from otel._logging.request_line import request_line
from otel._operations.operation import request_id

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["LogFormat", "configure_logging", "get_logger"]

LogFormat = Literal["console", "json"]

_QUIET = ("_granian", "httpcore", "httpx", "numba", "opentelemetry", "urllib3")
"""Loggers limited to warnings: `_granian` has a line at info for every chunk sent after a disconnect, `numba`
thousands at debug for each function that it compiles."""
_OPINIONATED = ("_granian", "granian.access", "huggingface_hub", "litestar", "transformers")
"""Loggers whose libraries add handlers of their own, some at import."""

_processors: list[Processor] = []
"""One list, changed in place: loggers keep it from their first use on, and must follow a later configuration."""


class _RoutedLogger(logging.Logger):
    """A library's logger whose lines always reach the root's handler, even if its library adds handlers later."""

    @property
    def propagate(self) -> bool:
        return True

    @propagate.setter
    def propagate(self, value: bool) -> None: ...

    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802
        """Ignore the handler: the root has one."""


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders structlog's events from a copy of only the event.

    The library copies the whole record, for further formatters; that is a third of the cost of a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        if not isinstance(record.msg, dict):
            return super().format(record)
        event: Any = record.msg.copy()
        for processor in self.processors[1:]:  # the first only removes what the library adds to its copy
            event = processor(None, record.levelname, event)
        return str(event)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structlog logger; may be created at import, before `configure_logging`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def configure_logging(level: str = "info", fmt: LogFormat = "console", file: str | None = None, **fields: str) -> None:
    """Send every log line of this process to standard error, as text or as one JSON object per line.

    Call it once in every process; a later call replaces the configuration. `file` gets the same lines without colours,
    at its end, so that several processes can share it. `fields` are added to every line (an engine adds its model).
    No line waits for a reader of standard error that does not read: lines beyond a bounded queue are dropped.

    Raises:
        ValueError: no such level or format.
        OSError: the file cannot be written.
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
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _add_ids,
        partial(_add_fields, fields),
    ]
    destinations: list[logging.Handler] = [logging.StreamHandler(without_buffer(sys.stderr))]
    if file is not None:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        # It opens the file again once logrotate has moved it. A handler that rotates is for one process only.
        destinations.append(WatchedFileHandler(file, encoding="utf-8"))
    handlers = []
    for place, destination in enumerate(destinations):
        colors = place == 0 and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        formatter = _Formatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(fmt, colors)],
        )
        handlers.append(BoundedHandler(destination, formatter))
    _processors[:] = [
        structlog.stdlib.filter_by_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        *shared,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]
    structlog.configure(
        processors=_processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # No format uses them, and logging looks them up for every record: the thread, the process, and the line of code.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # as the documentation of logging advises
    _route(handlers, number)


def _renderers(fmt: LogFormat, colors: bool) -> list[Processor]:
    # Both renderers' richer tracebacks print local variables, and those hold prompts.
    if fmt == "json":
        return [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0, sort_keys=False
    )
    default, *columns = renderer.columns
    if isinstance(default.formatter, structlog.dev.KeyValueColumnFormatter):
        renderer.columns = [structlog.dev.Column("", _FieldWriter(default.formatter)), *columns]
    return [partial(request_line, colors), renderer]


class _FieldWriter:
    """Writes what another formatter does of a field without padding, which makes a stream of each: twice the time."""

    def __init__(self, formatter: structlog.dev.KeyValueColumnFormatter) -> None:
        self._before_key, self._reset = formatter.key_style or "", formatter.reset_style
        self._before_value, self._text = formatter.value_style, formatter.value_repr

    def __call__(self, key: str, value: object) -> str:
        return f"{self._before_key}{key}{self._reset}={self._before_value}{self._text(value)}{self._reset}"


def _route(handlers: Sequence[logging.Handler], level: int) -> None:
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, BoundedHandler):
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in _OPINIONATED:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.__class__ = _RoutedLogger
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, level))
    logging.captureWarnings(True)


def _add_fields(fields: Mapping[str, str], _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**fields, **event}


def _add_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add `request_id`, and `trace_id` and `span_id` if a trace is current."""
    identifier = request_id.get()
    if identifier is not None:
        event.setdefault("request_id", identifier)
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event
