"""Files in the turns of a response's input, with their texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import attrs
from litestar import Request

from contracts.responses.items import InputContent, InputFileContent, InputItem, InputMessage
from contracts.responses.request import CreateResponse, TokenCountRequest
from providers.errors import InvalidRequest
from server.dependencies import Service
from server.media.documents import Document, Documents
from server.retrieval.retrieval import Retrieval

__all__ = ["with_texts"]

R = TypeVar("R", CreateResponse, TokenCountRequest)


async def with_texts(data: R, request: Request[Any, Any, Any], service: Service, retrieval: Retrieval) -> R:
    """The request, with the text of every file in a turn. Tools' outputs stay as they are.

    Raises:
        InvalidRequest, NotFound: a file cannot be had, or has no text.
        ClientDisconnected, ModelNotReady: the client or the server ended first.
    """
    if isinstance(data.input, str) or not any(map(_has_files, data.input or [])):
        return data
    documents = Documents(service.media, retrieval)
    async with service.answering(request.receive):
        return attrs.evolve(data, input=await _items(data.input or [], documents))


def _has_files(item: InputItem) -> bool:
    return (
        isinstance(item, InputMessage)
        and item.role != "assistant"
        and isinstance(item.content, list)
        and any(isinstance(part, InputFileContent) and part.text is None for part in item.content)
    )


async def _items(items: Sequence[InputItem], documents: Documents) -> list[InputItem]:
    read: list[InputItem] = []
    for index, item in enumerate(items):
        if isinstance(item, InputMessage) and isinstance(item.content, list) and _has_files(item):
            parts = [
                await _part(part, f"input[{index}].content[{place}]", documents)
                for place, part in enumerate(item.content)
            ]
            item = attrs.evolve(item, content=parts)
        read.append(item)
    return read


async def _part(part: InputContent, path: str, documents: Documents) -> InputContent:
    if not isinstance(part, InputFileContent) or part.text is not None:
        return part
    document = await _document(part, path, documents)
    return attrs.evolve(part, text=document.text, filename=document.name)


async def _document(part: InputFileContent, path: str, documents: Documents) -> Document:
    given = [name for name in ("file_data", "file_url", "file_id") if getattr(part, name)]
    if len(given) != 1:
        raise InvalidRequest(f"{path}: one of file_data, file_url and file_id is required", param=path)
    if part.file_url:
        return await documents.by_url(part.file_url, f"{path}.file_url", part.filename)
    if part.file_data:
        return await documents.inline(part.file_data, f"{path}.file_data", part.filename)
    return await documents.by_id(part.file_id or "", f"{path}.file_id")
