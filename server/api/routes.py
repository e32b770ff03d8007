"""Every route of the API: one controller per resource."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Controller
from litestar.types import ControllerRouterHandler

from server.api.chat.controller import ChatController
from server.api.completions.controller import CompletionsController
from server.api.embeddings.controller import EmbeddingsController
from server.api.files.controller import FilesController
from server.api.images.controller import ImageEditsController, ImagesController
from server.api.messages.controller import MessagesController
from server.api.realtime.controller import RealtimeController
from server.api.responses.controller import ResponsesController
from server.api.service.arena import ArenaController, TalkController
from server.api.service.diagnostics import DiagnosticsController
from server.api.service.health import HealthController
from server.api.service.index import IndexController
from server.api.service.metrics import MetricsController
from server.api.service.models import ModelsController
from server.api.service.pull import PullController
from server.api.service.queue import QueueController
from server.api.service.tokenize import TokenizeController
from server.api.service.traces import TracesController
from server.api.speech.controller import SpeechController
from server.api.transcription.controller import TranscriptionController
from server.api.vector_stores.controller import VectorStoresController
from server.api.vector_stores.files import StoreBatchesController, StoreFilesController
from server.forms import FORM_BYTES, multipart_form

__all__ = ["routes"]


def routes(*, max_upload_bytes: int) -> Sequence[ControllerRouterHandler]:
    """What the application serves. `max_upload_bytes` bounds each file of a form."""
    return [
        ArenaController,
        ChatController,
        CompletionsController,
        DiagnosticsController,
        EmbeddingsController,
        HealthController,
        ImagesController,
        IndexController,
        MessagesController,
        MetricsController,
        ModelsController,
        PullController,
        QueueController,
        RealtimeController,
        ResponsesController,
        SpeechController,
        StoreBatchesController,
        StoreFilesController,
        TalkController,
        TokenizeController,
        TracesController,
        VectorStoresController,
        *_with_forms(FilesController, ImageEditsController, TranscriptionController, max_upload_bytes=max_upload_bytes),
    ]


def _with_forms(*controllers: type[Controller], max_upload_bytes: int) -> list[type[Controller]]:
    """Subclasses that read forms. Litestar would copy a router around the controllers with all that it holds."""
    limits = {"guards": [multipart_form(max_upload_bytes)], "request_max_body_size": max_upload_bytes + FORM_BYTES}
    return [type(controller.__name__, (controller,), limits) for controller in controllers]
