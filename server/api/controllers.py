"""One controller a resource."""

from server.api.chat.controller import ChatController
from server.api.completions.controller import CompletionsController
from server.api.embeddings.controller import EmbeddingsController
from server.api.responses.controller import ResponsesController
from server.controllers.diagnostics import DiagnosticsController
from server.controllers.health import HealthController
from server.controllers.models import ModelsController
from server.controllers.observability import MetricsController, TracesController
from server.controllers.queue import QueueController
from server.controllers.speech import SpeechController
from server.controllers.tokenize import TokenizeController
from server.controllers.transcription import TranscriptionController

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
