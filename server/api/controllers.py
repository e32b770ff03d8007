"""One controller a resource."""

from server.api.chat.controller import ChatController
from server.api.completions.controller import CompletionsController
from server.api.embeddings.controller import EmbeddingsController
from server.api.responses.controller import ResponsesController
from server.api.service.diagnostics import DiagnosticsController
from server.api.service.health import HealthController
from server.api.service.models import ModelsController
from server.api.service.observability import MetricsController, TracesController
from server.api.service.queue import QueueController
from server.api.service.tokenize import TokenizeController
from server.api.speech.controller import SpeechController
from server.api.transcription.controller import TranscriptionController

__all__ = [
    "ChatController",
    "CompletionsController",
    "DiagnosticsController",
    "EmbeddingsController",
    "HealthController",
    "MetricsController",
    "ModelsController",
    "QueueController",
    "ResponsesController",
    "SpeechController",
    "TokenizeController",
    "TracesController",
    "TranscriptionController",
]
