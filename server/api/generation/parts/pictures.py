"""The pictures in a conversation, for the models that read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from litestar import Request

import otel
from providers.chat.protocol import ChatProvider
from providers.errors import UnsupportedParameter
from server.dependencies import Service
from server.media.attachments import Attachment, Contents
from server.media.documents import Documents
from server.media.showing import Shown, show
from server.retrieval.retrieval import Retrieval

__all__ = ["documents", "pictures", "reads_pictures"]


def documents(service: Service, retrieval: Retrieval, chat: ChatProvider) -> Documents:
    """What reads the files of one request for this model."""
    return Documents(Contents(service.media, retrieval.files), pages=reads_pictures(chat))


def reads_pictures(chat: ChatProvider) -> bool:
    return "image" in chat.card.reads


async def pictures(
    attachments: Iterable[Attachment],
    request: Request[Any, Any, Any],
    service: Service,
    contents: Contents,
    chat: ChatProvider,
) -> Shown:
    """What the model reads of each picture: nothing, if it reads none and none is required.

    Raises:
        UnsupportedParameter: the model reads no pictures.
        InvalidRequest, NotFound: a picture cannot be read.
        ClientDisconnected, ModelNotReady: the client or the server ended first.
    """
    found = list(attachments)
    if not reads_pictures(chat):
        for attachment in found:
            if attachment.required:
                place = f"{attachment.path}.type"
                raise UnsupportedParameter(f"{place}: the model {chat.spec.name!r} reads no pictures", param=place)
        return Shown()
    if not found:
        return Shown()
    request_id = otel.request_id.get() or ""
    with otel.start_media(model=chat.spec.name, request_id=request_id) as span:
        async with service.answering(request.receive):
            shown = await show(found, contents, service.pictures, max_side=service.max_picture_side)
        span.read(pictures=shown.pictures, content_bytes=shown.content_bytes, pixel_bytes=shown.pixel_bytes)
    return shown
