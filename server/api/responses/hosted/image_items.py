"""Painted images, as items of a response, and each step of them as an event."""

from __future__ import annotations

import attrs

from contracts.responses.events import (
    ImageCallStep,
    ResponseImageGenCallEvent,
    ResponseImageGenCallPartialImageEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseStreamEvent,
)
from contracts.responses.items import ImageGenerationCall
from providers.errors import InternalError
from server.api.images.encoding import FinishedImage
from server.api.responses.conversation import item_id
from server.api.responses.hosted.image_generation import ImageCallBegun, ImageCallFailed, ImageTool, PaintedEvent
from server.api.responses.items import OutputFold

__all__ = ["ImageFold"]


class ImageFold:
    """Puts the images of one response into its output."""

    def __init__(self, response_id: str, output: OutputFold, tool: ImageTool) -> None:
        self._response_id, self._output = response_id, output
        self._model, self._format = tool.model, tool.answer.output_format
        self._call: ImageGenerationCall | None = None
        self._index = 0

    def add(self, event: PaintedEvent) -> list[ResponseStreamEvent]:
        """Add an event. Returns the events that it causes."""
        if isinstance(event, ImageCallBegun):
            return self._begin(event)
        if self._call is None:
            raise InternalError("an image went on without a beginning")
        if isinstance(event, ImageCallFailed):
            return self._end(attrs.evolve(self._call, status="failed", error=event.error))
        image, size = event.image, f"{event.image.width}x{event.image.height}"
        if isinstance(image, FinishedImage):
            call = attrs.evolve(
                self._call, status="completed", result=image.file, size=size, seed=image.seed, steps=image.steps
            )
            return [self._step("response.image_generation_call.completed"), *self._end(call)]
        return [
            ResponseImageGenCallPartialImageEvent(
                item_id=self._call.id or "",
                output_index=self._index,
                partial_image_b64=image.file,
                partial_image_index=image.number,
                output_format=self._format,
                size=size,
                sequence_number=self._output.number(),
            )
        ]

    def _begin(self, event: ImageCallBegun) -> list[ResponseStreamEvent]:
        closed, self._index = self._output.close()
        self._call = ImageGenerationCall(
            type="image_generation_call",
            id=item_id("image_generation_call", self._response_id, self._index),
            status="in_progress",
            action="generate",
            background="opaque",
            output_format=self._format,
            quality="auto",
            revised_prompt=event.prompt,
            model=self._model,
        )
        self._output.put(self._index, self._call)
        return [
            *closed,
            ResponseOutputItemAddedEvent(
                output_index=self._index, item=self._call, sequence_number=self._output.number()
            ),
            self._step("response.image_generation_call.in_progress"),
            self._step("response.image_generation_call.generating"),
        ]

    def _step(self, type_: ImageCallStep) -> ResponseImageGenCallEvent:
        assert self._call is not None
        return ResponseImageGenCallEvent(
            type=type_,
            item_id=self._call.id or "",
            output_index=self._index,
            sequence_number=self._output.number(),
        )

    def _end(self, call: ImageGenerationCall) -> list[ResponseStreamEvent]:
        self._output.put(self._index, call)
        self._call = None
        return [ResponseOutputItemDoneEvent(output_index=self._index, item=call, sequence_number=self._output.number())]
