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
from server.api.generation.messages import file_source, returned_source
from server.api.generation.parts.attached import has_parts, with_parts
from server.dependencies import Service
from server.media.documents import Documents, file_block

__all__ = ["with_file_texts"]


async def with_file_texts(
    data: ChatCompletionRequest, request: Request[Any, Any, Any], service: Service, documents: Documents
) -> ChatCompletionRequest:
    """The request, with a text in the place of every file. PDFs whose pages the model reads stay, files of tools that
    cannot be read, and files in turns of the assistant.

    Raises:
        InvalidRequest, NotFound: a file of the client cannot be had, or has no text.
        ClientDisconnected, ModelNotReady: the client or the server ended first.
    """
    if not has_parts(data.messages, ChatCompletionRequestMessageContentPartFile):
        return data

    async def text(part: ChatCompletionRequestMessageContentPartFile, path: str, own: bool) -> ContentPart:
        if own:
            field, source = file_source(part, path)
            document = await documents.read(source, f"{path}.{field}")
        else:
            document = await documents.returned(returned_source(part))
        if document is None:
            return part
        return ChatCompletionRequestMessageContentPartText(type="text", text=file_block(document))

    async with service.answering(request.receive):
        messages = await with_parts(data.messages, ChatCompletionRequestMessageContentPartFile, text)
    return attrs.evolve(data, messages=messages)
