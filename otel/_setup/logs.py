"""Export of log lines to a collector, if the environment selects it. Only `setup` imports this."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import context as context_api
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import Resource

from otel import names
from otel._operations.operation import SCOPE, clean, request_id

__all__ = ["send_logs"]

_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (0, SeverityNumber.DEBUG),
)
_OWN = ("opentelemetry", "urllib3", "requests")
"""Exporters' own log lines are not exported: with a dead collector, each failure would cause the next."""


class _Handler(logging.Handler):
    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._logger = provider.get_logger(SCOPE)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(_OWN):
            return
        try:
            self._logger.emit(_translated(record))
        except Exception:
            self.handleError(record)


def _translated(record: logging.LogRecord) -> LogRecord:
    """A structlog event has its fields, another line only its text. Of an exception only the class is exported."""
    fields: dict[str, Any] = dict(record.msg) if isinstance(record.msg, dict) else {"event": record.getMessage()}
    body = str(fields.pop("event", ""))
    kept = {key: clean(value) for key, value in fields.items() if isinstance(value, (str, int, float, bool))}
    if record.exc_info and record.exc_info[0] is not None:
        kept[names.EXCEPTION_TYPE] = record.exc_info[0].__qualname__
    if (identifier := request_id.get()) is not None:
        kept[names.REQUEST_ID] = clean(identifier)
    number = next(number for level, number in _SEVERITIES if record.levelno >= level)
    return LogRecord(
        timestamp=int(record.created * 1e9),
        context=context_api.get_current(),
        severity_text=record.levelname,
        severity_number=number,
        body=body,
        attributes={"logger.name": record.name, **kept},
    )


def send_logs(exporters: Sequence[LogRecordExporter], resource: Resource) -> Callable[[], object]:
    """Export all log lines of this process in batches, on a thread. Returns a function that flushes and stops."""
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logging.getLogger().addHandler(_Handler(provider))
    return provider.shutdown
