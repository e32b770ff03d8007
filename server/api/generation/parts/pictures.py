"""The pictures in a conversation, for the models that read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
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

__all__ = ["documents", "pictures", "readable", "reads_pictures", "shown"]


def documents(service: Service, retrieval: Retrieval, chat: ChatProvider) -> Documents:
    """What reads the files of one request for this model."""
    return Documents(Contents(service.media, retrieval.files), pages=partial(reads_pictures, chat))


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
    found = readable(attachments, chat)
    if not found:
        return Shown()
    async with service.answering(request.receive):
        return await shown(found, service, contents, chat)


def readable(attachments: Iterable[Attachment], chat: ChatProvider) -> list[Attachment]:
    """The pictures that the model is to read: none, if it reads none and none is required.

    Raises:
        UnsupportedParameter: the model reads no pictures.
    """
    found = list(attachments)
    if found and not reads_pictures(chat):
        for attachment in found:
            if attachment.required:
                place = f"{attachment.path}.type"
                raise UnsupportedParameter(f"{place}: the model {chat.spec.name!r} reads no pictures", param=place)
        return []
    return found


async def shown(found: Sequence[Attachment], service: Service, contents: Contents, chat: ChatProvider) -> Shown:
    """Those of `readable` as the model reads them.

    Raises:
        InvalidRequest, NotFound: a picture cannot be read.
    """
    with otel.start_media(model=chat.spec.name, request_id=otel.request_id.get() or "") as span:
        made = await show(found, contents, service.pictures, max_side=service.max_picture_side)
        span.read(pictures=made.pictures, content_bytes=made.content_bytes, pixel_bytes=made.pixel_bytes)
    return made
