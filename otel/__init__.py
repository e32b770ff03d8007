"""Tracing, metrics and log lines. Imports no other room; never raises into a request; records no prompt by default."""

from otel._answer import Summary
from otel._content import Content, captures_content
from otel._logging.configuration import LogFormat, configure_logging, get_logger
from otel._operations.chat import ChatParams, ChatSpan, start_chat
from otel._operations.grounding import GroundingSpan, start_grounding
from otel._operations.load import LoadSpan, start_load, start_model_load, start_model_unload
from otel._operations.media import MediaSpan, start_media
from otel._operations.operation import request_id
from otel._operations.playback import PlaybackSpan, start_playback
from otel._operations.queue import QueueSpan, start_queue
from otel._operations.replica import note_replica
from otel._operations.retrieval import RetrievalSpan, start_indexing, start_retrieval
from otel._operations.server import Headers, ServerSpan, start_server_span
from otel._operations.task import TaskSpan, start_task
from otel._operations.turn import TurnSpan, start_turn
from otel._parameters import ignored_parameter
from otel._readings import ModelReading, ReplicaReading, Tally, readings, watch
from otel._remote import serving, trace_parent
from otel._setup.sdk import Telemetry, metrics_page, recent_requests, setup

__all__ = [
    "ChatParams",
    "ChatSpan",
    "Content",
    "GroundingSpan",
    "Headers",
    "LoadSpan",
    "LogFormat",
    "MediaSpan",
    "ModelReading",
    "PlaybackSpan",
    "QueueSpan",
    "ReplicaReading",
    "RetrievalSpan",
    "ServerSpan",
    "Summary",
    "Tally",
    "TaskSpan",
    "Telemetry",
    "TurnSpan",
    "captures_content",
    "configure_logging",
    "get_logger",
    "ignored_parameter",
    "metrics_page",
    "note_replica",
    "readings",
    "recent_requests",
    "request_id",
    "serving",
    "setup",
    "start_chat",
    "start_grounding",
    "start_indexing",
    "start_load",
    "start_media",
    "start_model_load",
    "start_model_unload",
    "start_playback",
    "start_queue",
    "start_retrieval",
    "start_server_span",
    "start_task",
    "start_turn",
    "trace_parent",
    "watch",
]
