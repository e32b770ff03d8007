"""Documents in the turns of a conversation, as their texts."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs
from litestar import Request

from contracts.messages.blocks import DocumentBlock, InputBlock
from contracts.messages.request import CountTokensRequest, MessagesRequest
from providers.errors import InvalidRequest
from server.dependencies import Service
from server.media.documents import Document, Documents
from server.retrieval.retrieval import Retrieval

__all__ = ["with_document_texts"]

R = TypeVar("R", MessagesRequest, CountTokensRequest)

_FIELDS = {"base64": "data", "url": "url", "file": "file_id"}
"""The field of each type of source that has the document. Other sources are texts already."""


async def with_document_texts(data: R, request: Request[Any, Any, Any], service: Service, retrieval: Retrieval) -> R:
    """The request, with a text as the source of every document of a user's turn. Tools' results stay as they are.

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
    documents, messages = Documents(service.media, retrieval), []
    async with service.answering(request.receive):
        for index, message in enumerate(data.messages):
            if message.role != "assistant" and not isinstance(message.content, str):
                blocks = [
                    await _block(block, f"messages[{index}].content[{place}].source", documents)
                    for place, block in enumerate(message.content)
                ]
                message = attrs.evolve(message, content=blocks)
            messages.append(message)
    return attrs.evolve(data, messages=messages)


def _is_unread(block: InputBlock) -> bool:
    return isinstance(block, DocumentBlock) and block.source.get("type") in _FIELDS


async def _block(block: InputBlock, path: str, documents: Documents) -> InputBlock:
    if not isinstance(block, DocumentBlock) or block.source.get("type") not in _FIELDS:
        return block
    document = await _document(block, path, documents)
    source = {"type": "text", "media_type": "text/plain", "data": document.text}
    named = block.source["type"] != "base64"
    return attrs.evolve(block, source=source, title=document.name if named else block.title)


async def _document(block: DocumentBlock, path: str, documents: Documents) -> Document:
    type_ = block.source["type"]
    path = f"{path}.{_FIELDS[type_]}"
    value = block.source.get(_FIELDS[type_])
    if not isinstance(value, str):
        raise InvalidRequest(f"{path}: required, as text", param=path)
    if type_ == "url":
        return await documents.by_url(value, path, block.title)
    if type_ == "base64":
        return await documents.inline(value, path, block.title)
    found = await documents.by_id(value, path)
    return attrs.evolve(found, name=block.title or found.name)
