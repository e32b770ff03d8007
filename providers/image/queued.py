"""An image provider's requests through the queue, and the telemetry of their images."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import otel
from otel import names
from providers.image.types import ImageAccepted, ImageEvent, ImageFinished, ImagePreview, ImageRequest
from providers.queued import QueuedProvider

__all__ = ["ImageRecord", "QueuedImageProvider"]


class QueuedImageProvider(QueuedProvider[ImageRequest, ImageEvent]):
    """An `ImageProvider` whose subclass makes the events."""

    def generate(self, request: ImageRequest) -> AsyncGenerator[ImageEvent, None]:
        return self._answered(request, lambda: ImageRecord(self._spec.name, request), answers=request.n)


class ImageRecord:
    """The span of one request: the work on each image as one child per kind of work."""

    def __init__(self, model: str, request: ImageRequest) -> None:
        attributes = {names.IMAGE_COUNT: request.n, names.IMAGE_SOURCES: len(request.sources) or None}
        self._span = otel.start_task("image", model=model, request_id=request.id, attributes=attributes)
        self._model = model
        self._accepted: ImageAccepted | None = None
        self._begin = 0.0
        self.fail = self._span.fail
        self.cancel = self._span.cancel

    def note(self, event: ImageEvent) -> None:
        if isinstance(event, ImageAccepted):
            self._accepted = event
            self._span.accepted()
        elif isinstance(event, ImagePreview):
            self._span.first()
        elif isinstance(event, ImageFinished):
            self._span.first()
            self._begin = max(self._begin, event.queue_seconds)
            steps = [(names.EVENT_STEP, seconds) for seconds in event.step_seconds]
            for name, seconds, events in (
                ("encode", event.encode_seconds, []),
                ("denoise", event.denoise_seconds, steps),
                ("decode", event.decode_seconds, []),
            ):
                self._span.child(name, self._begin, seconds, {names.IMAGE_INDEX: event.index}, events)
                self._begin += seconds

    def stop(self) -> None:
        accepted = self._accepted
        assert accepted is not None
        self._span.stop(
            {
                names.GEN_AI_RESPONSE_MODEL: self._model,
                names.IMAGE_WIDTH: accepted.width,
                names.IMAGE_HEIGHT: accepted.height,
                names.IMAGE_STEPS: accepted.steps,
            }
        )
