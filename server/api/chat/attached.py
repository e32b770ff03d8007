"""Files in the turns of a chat, as their texts."""

from __future__ import annotations

from typing import Any

import attrs
from litestar import Request

from contracts.chat.messages import (
    ChatCompletionRequestMessageContentPartFile,
    ChatCompletionRequestMessageContentPartText,
    ContentPart,
)
from contracts.chat.request import ChatCompletionRequest
from providers.errors import InvalidRequest
from server.dependencies import Service
from server.media.documents import Document, Documents, file_block
from server.retrieval.retrieval import Retrieval

__all__ = ["with_file_texts"]

_ROLES = ("user", "system", "developer")
_SOURCES = ("file_data", "file_url", "file_id")
"""`file_url` is an extension."""


async def with_file_texts(
    data: ChatCompletionRequest, request: Request[Any, Any, Any], service: Service, retrieval: Retrieval
) -> ChatCompletionRequest:
    """The request, with a text in the place of every file. Files in turns of tools and of the assistant stay.

    Raises:
        InvalidRequest, NotFound: a file cannot be had, or has no text.
        ClientDisconnected, ModelNotReady: the client or the server ended first.
    """
    if not any(
        message.role in _ROLES and any(map(_is_file, message.content or []))
        for message in data.messages
        if isinstance(message.content, list)
    ):
        return data
    documents, messages = Documents(service.media, retrieval), []
    async with service.answering(request.receive):
        for index, message in enumerate(data.messages):
            if message.role in _ROLES and isinstance(message.content, list):
                parts = [
                    await _part(part, f"messages[{index}].content[{place}]", documents)
                    for place, part in enumerate(message.content)
                ]
                message = attrs.evolve(message, content=parts)
            messages.append(message)
    return attrs.evolve(data, messages=messages)


def _is_file(part: ContentPart) -> bool:
    return isinstance(part, ChatCompletionRequestMessageContentPartFile)


async def _part(part: ContentPart, path: str, documents: Documents) -> ContentPart:
    if not isinstance(part, ChatCompletionRequestMessageContentPartFile):
        return part
    document = await _document(part, f"{path}.file", documents)
    return ChatCompletionRequestMessageContentPartText(type="text", text=file_block(document))


async def _document(part: ChatCompletionRequestMessageContentPartFile, path: str, documents: Documents) -> Document:
    given = {name: part.file[name] for name in (*_SOURCES, "filename") if part.file.get(name)}
    for name, value in given.items():
        if not isinstance(value, str):
            raise InvalidRequest(f"{path}.{name}: expected a text", param=f"{path}.{name}")
    name = given.pop("filename", None)
    if len(given) != 1:
        raise InvalidRequest(f"{path}: one of file_data, file_url and file_id is required", param=path)
    ((source, value),) = given.items()
    if source == "file_url":
        return await documents.by_url(value, f"{path}.{source}", name)
    if source == "file_data":
        return await documents.inline(value, f"{path}.{source}", name)
    return await documents.by_id(value, f"{path}.{source}")
