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
from server.api.generation.messages import file_source
from server.dependencies import Service
from server.media.documents import Documents, file_block

__all__ = ["with_file_texts"]

_ROLES = ("user", "system", "developer")


async def with_file_texts(
    data: ChatCompletionRequest, request: Request[Any, Any, Any], service: Service, documents: Documents
) -> ChatCompletionRequest:
    """The request, with a text in the place of every file. PDFs whose pages the model reads stay, and files in turns of
    tools and of the assistant.

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
    messages = []
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
    field, source = file_source(part, path)
    document = await documents.read(source, f"{path}.{field}")
    if document is None:
        return part
    return ChatCompletionRequestMessageContentPartText(type="text", text=file_block(document))
