"""Documents in the turns of a conversation, as their texts."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs
from litestar import Request

from contracts.messages.blocks import DocumentBlock
from contracts.messages.request import CountTokensRequest, MessagesRequest
from server.api.generation.parts.attached import has_parts, with_parts
from server.api.messages.request import SOURCES, block_source, to_attachment
from server.dependencies import Service
from server.media.documents import Documents

__all__ = ["with_document_texts"]

R = TypeVar("R", MessagesRequest, CountTokensRequest)


async def with_document_texts(data: R, request: Request[Any, Any, Any], service: Service, documents: Documents) -> R:
    """The request, with a text as the source of every document. PDFs whose pages the model reads stay, and documents of
    tools that cannot be read.

    Raises:
        InvalidRequest, NotFound: a document of the client cannot be had, or has no text.
        ClientDisconnected, ModelNotReady: the client or the server ended first.
    """
    if not has_parts(data.messages, DocumentBlock):
        return data

    async def text(block: DocumentBlock, path: str, own: bool) -> DocumentBlock:
        if block.source.get("type") not in SOURCES:
            return block
        if own:
            attachment = to_attachment(block, path)
            document = await documents.read(attachment.source, attachment.place)
        else:
            document = await documents.returned(block_source(block))
        if document is None:
            return block
        source = {"type": "text", "media_type": "text/plain", "data": document.text}
        named = block.source["type"] != "base64"
        return attrs.evolve(block, source=source, title=document.name if named else block.title)

    async with service.answering(request.receive):
        return attrs.evolve(data, messages=await with_parts(data.messages, DocumentBlock, text))
