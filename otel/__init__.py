"""Tracing and log correlation. Imports nothing of ours; never raises into a request; never records a prompt."""

from otel._core import request_id
from otel._generation import ChatParams, ChatSpan, QueueSpan, start_chat, start_queue
from otel._http import Headers, ServerSpan, fail_request, start_server_span
from otel._logging import LogFormat, configure_logging, get_logger
from otel._setup import Telemetry, setup
from otel._task import LoadSpan, TaskSpan, start_load, start_task

__all__ = [
    "ChatParams",
    "ChatSpan",
    "Headers",
    "LoadSpan",
    "LogFormat",
    "QueueSpan",
    "ServerSpan",
    "TaskSpan",
    "Telemetry",
    "configure_logging",
    "fail_request",
    "get_logger",
    "request_id",
    "setup",
    "start_chat",
    "start_load",
    "start_queue",
    "start_server_span",
    "start_task",
]
