"""Documents in the turns of a conversation, as their texts."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs
from litestar import Request

from contracts.messages.blocks import DocumentBlock, InputBlock
from contracts.messages.request import CountTokensRequest, MessagesRequest
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
    if not any(
        message.role != "assistant" and any(map(_is_unread, message.content))
        for message in data.messages
        if not isinstance(message.content, str)
    ):
        return data
    messages = []
    async with service.answering(request.receive):
        for index, message in enumerate(data.messages):
            if message.role != "assistant" and not isinstance(message.content, str):
                blocks = [
                    await _block(block, f"messages[{index}].content[{place}]", documents)
                    for place, block in enumerate(message.content)
                ]
                message = attrs.evolve(message, content=blocks)
            messages.append(message)
    return attrs.evolve(data, messages=messages)


def _is_unread(block: InputBlock) -> bool:
    return isinstance(block, DocumentBlock) and block.source.get("type") in SOURCES


async def _block(block: InputBlock, path: str, documents: Documents) -> InputBlock:
    if not isinstance(block, DocumentBlock) or not _is_unread(block):
        return block
    attachment = to_attachment(block, path)
    document = await documents.read(attachment.source, attachment.place)
    if document is None:
        return block
    source = {"type": "text", "media_type": "text/plain", "data": document.text}
    named = block.source["type"] != "base64"
    return attrs.evolve(block, source=source, title=document.name if named else block.title)
