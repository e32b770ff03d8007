"""Encoded images, as OpenAI's objects and events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence

import attrs

from contracts.images import (
    CompletedType,
    Image,
    ImageCompletedEvent,
    ImagePartialEvent,
    ImagesResponse,
    ImageUsage,
    ImageUsageDetails,
    PartialType,
)
from providers.errors import InternalError
from providers.image.types import ImageAccepted, ImageProgress, ImageRequest, SourceImage
from server.api.images.encoding import EncodedImage, FinishedImage, PaintedEvent
from server.api.images.request import SIDE_STEP, ImageAnswer
from server.streaming.sse import named_message

__all__ = ["ImageEventEncoder", "ImageHeader", "images_response", "usage"]


@attrs.frozen(kw_only=True)
class ImageHeader:
    """Fields of every answer."""

    model: str
    request_id: str
    created: int = attrs.field(factory=lambda: int(time.time()))


class ImageEventEncoder:
    """Writes previews as `….partial_image`, finished images as `….completed`, and progress as comments."""

    def __init__(self, header: ImageHeader, answer: ImageAnswer, request: ImageRequest) -> None:
        self._header, self._answer, self._request = header, answer, request
        self._partial: PartialType = "image_edit.partial_image" if answer.edit else "image_generation.partial_image"
        self._completed: CompletedType = "image_edit.completed" if answer.edit else "image_generation.completed"

    def encode(self, events: Sequence[PaintedEvent]) -> bytes:
        return b"".join(map(self._message, events))

    def _message(self, event: PaintedEvent) -> bytes:
        if isinstance(event, ImageAccepted):
            return b""
        if isinstance(event, ImageProgress):
            # One newline: see KEEP_ALIVE.
            return f": image {event.index + 1}/{self._request.n} step {event.step}/{event.steps}\n".encode()
        contract = self._event(event)
        return named_message(contract.type, contract)

    def _event(self, event: EncodedImage) -> ImagePartialEvent | ImageCompletedEvent:
        created, output_format = self._header.created, self._answer.output_format
        size = f"{event.width}x{event.height}"
        if not isinstance(event, FinishedImage):
            return ImagePartialEvent(
                type=self._partial,
                b64_json=event.file,
                created_at=created,
                output_format=output_format,
                size=size,
                index=event.index,
                partial_image_index=event.number,
            )
        return ImageCompletedEvent(
            type=self._completed,
            b64_json=event.file,
            created_at=created,
            output_format=output_format,
            size=size,
            index=event.index,
            usage=usage(self._request if event.index == 0 else None, [event]),
            seed=event.seed,
            steps=event.steps,
            model=self._header.model,
            request_id=self._header.request_id,
        )


async def images_response(
    header: ImageHeader, answer: ImageAnswer, request: ImageRequest, events: AsyncIterator[PaintedEvent]
) -> ImagesResponse:
    """Read an answer to its end.

    Raises:
        InternalError: the events ended too early.
        ServiceError: any error of the provider.
    """
    finished: list[FinishedImage] = []
    async for event in events:
        if isinstance(event, FinishedImage):
            finished.append(event)
            if len(finished) == request.n:
                break
    else:
        raise InternalError.truncated("image")
    return ImagesResponse(
        created=header.created,
        data=[_image(image, answer) for image in finished],
        output_format=answer.output_format,
        size=f"{finished[0].width}x{finished[0].height}",
        usage=usage(request, finished),
        model=header.model,
        request_id=header.request_id,
    )


def usage(request: ImageRequest | None, images: Sequence[EncodedImage]) -> ImageUsage:
    """Of these images. `request` None: its text and its sources are counted already."""
    text = 0 if request is None else len(request.prompt)
    sources = 0 if request is None else sum(map(_squares, request.sources))
    made = sum(map(_squares, images))
    return ImageUsage(
        input_tokens=text + sources,
        output_tokens=made,
        total_tokens=text + sources + made,
        input_tokens_details=ImageUsageDetails(text_tokens=text, image_tokens=sources),
        output_tokens_details=ImageUsageDetails(text_tokens=0, image_tokens=made),
    )


def _squares(image: EncodedImage | SourceImage) -> int:
    """The latent squares of an image."""
    return -(-image.width // SIDE_STEP) * -(-image.height // SIDE_STEP)


def _image(image: FinishedImage, answer: ImageAnswer) -> Image:
    url = f"data:image/{answer.output_format};base64,{image.file}" if answer.url else None
    return Image(b64_json=None if answer.url else image.file, url=url, seed=image.seed, steps=image.steps)
