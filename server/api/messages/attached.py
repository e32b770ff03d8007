"""Documents in the turns of a conversation, as their texts."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs
from litestar import Request

from contracts.messages.blocks import DocumentBlock
from contracts.messages.request import CountTokensRequest, MessagesRequest
from server.api.generation.parts.attached import has_parts, with_parts
from server.api.messages.request import SOURCES, to_attachment
from server.dependencies import Service
from server.media.documents import Documents

__all__ = ["with_document_texts"]

R = TypeVar("R", MessagesRequest, CountTokensRequest)


async def with_document_texts(data: R, request: Request[Any, Any, Any], service: Service, documents: Documents) -> R:
    """The request, with a text as the source of every document of a user's turn. PDFs whose pages the model reads stay,
    and tools' results.

    Raises:
        InvalidRequest, NotFound: a document cannot be had, or has no text.
        ClientDisconnected, ModelNotReady: the client or the server ended first.
    """
    if not has_parts(data.messages, DocumentBlock):
        return data

    async def text(block: DocumentBlock, path: str) -> DocumentBlock:
        if block.source.get("type") not in SOURCES:
            return block
        attachment = to_attachment(block, path)
        document = await documents.read(attachment.source, attachment.place)
        if document is None:
            return block
        source = {"type": "text", "media_type": "text/plain", "data": document.text}
        named = block.source["type"] != "base64"
        return attrs.evolve(block, source=source, title=document.name if named else block.title)

    async with service.answering(request.receive):
        return attrs.evolve(data, messages=await with_parts(data.messages, DocumentBlock, text))
