"""One controller a resource."""

from server.controllers.chat import ChatController
from server.controllers.completions import CompletionsController
from server.controllers.embeddings import EmbeddingsController
from server.controllers.health import HealthController
from server.controllers.models import ModelsController
from server.controllers.queue import QueueController
from server.controllers.responses import ResponsesController
from server.controllers.speech import SpeechController
from server.controllers.tokenize import TokenizeController
from server.controllers.transcription import TranscriptionController

__all__ = [
    "ChatController",
    "CompletionsController",
    "EmbeddingsController",
    "HealthController",
    "ModelsController",
    "QueueController",
    "ResponsesController",
    "SpeechController",
    "TokenizeController",
    "TranscriptionController",
]
