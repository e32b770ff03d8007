"""`/v1/images/generations`, `/v1/images/edits` and `/v1/images/variations`."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from litestar import Controller, MediaType, Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, MultipartBody, SkipValidation

import otel
from contracts.images import CreateImageEditRequest, CreateImageRequest, ImagesResponse
from providers.errors import NotFound
from providers.image.protocol import IMAGE, ImageProvider
from providers.image.types import ImageRequest
from server.api.error_responses import ANSWERING, errors
from server.api.images.encoding import encoded, require_encoder
from server.api.images.request import ImageAnswer, image_answer, to_image_request
from server.api.images.response import ImageEventEncoder, ImageHeader, images_response
from server.api.images.sources import opened
from server.api.openapi import ImageOperation
from server.dependencies import Service, ServiceDependency, provide, provide_from_form
from server.forms import FormDTO
from server.guards import QUEUE, json_body

__all__ = ["ImageEditsController", "ImagesController"]

Painter = NamedDependency[SkipValidation[ImageProvider]]


class ImagesController(Controller):
    path = "/v1/images"
    tags = ("Images",)

    @post(
        "/generations",
        before_request=json_body,
        dependencies={"painter": provide(IMAGE)},
        opt={QUEUE: IMAGE},
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createImage",
        name="images.generate",
        summary="Generate images",
        description="Responds with all images, or with server-sent events when `stream` is true.",
        operation_class=ImageOperation,
        responses=errors(*ANSWERING),
    )
    async def generate(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[CreateImageRequest],
        painter: Painter,
        service: ServiceDependency,
    ) -> Response[ImagesResponse]:
        answer = image_answer(data)
        asked = to_image_request(data, id=otel.request_id.get() or "")
        return await _answer(request, asked, answer, painter, service)

    @post("/variations", include_in_schema=False)
    async def vary(self) -> None:
        raise NotFound(
            "This server makes no variations of images, as no model here makes them without a prompt; send the image "
            "to /v1/images/edits with a prompt that says what to change."
        )


class ImageEditsController(Controller):
    path = "/v1/images"
    tags = ("Images",)

    @post(
        "/edits",
        dto=FormDTO[CreateImageEditRequest],
        dependencies={"painter": provide_from_form(IMAGE)},
        opt={QUEUE: IMAGE},
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createImageEdit",
        name="images.edit",
        summary="Edit images",
        description="Responds with all images, or with server-sent events when `stream` is true.",
        operation_class=ImageOperation,
        responses=errors(*ANSWERING),
    )
    async def edit(
        self,
        request: Request[Any, Any, Any],
        data: MultipartBody[CreateImageEditRequest],
        painter: Painter,
        service: ServiceDependency,
    ) -> Response[ImagesResponse]:
        answer = image_answer(data)
        async with service.answering(request.receive):
            sources, mask = await opened(data)
        asked = to_image_request(data, id=otel.request_id.get() or "", sources=sources, mask=mask)
        return await _answer(request, asked, answer, painter, service)


async def _answer(
    request: Request[Any, Any, Any], asked: ImageRequest, answer: ImageAnswer, painter: ImageProvider, service: Service
) -> Response[Any]:
    require_encoder()
    header = ImageHeader(model=painter.spec.name, request_id=asked.id)
    events = aclosing(encoded(painter.generate(asked), answer, model=header.model))
    if answer.stream:
        return service.streamed(events, ImageEventEncoder(header, answer, asked), answers=asked.n)
    async with service.answering(request.receive), events as source:
        whole = await images_response(header, answer, asked, source)
    return Response(whole)
