"""Files in the turns of a response's input, with their texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import attrs
from litestar import Request

from contracts.responses.items import InputContent, InputFileContent, InputItem, InputMessage
from contracts.responses.request import CreateResponse, TokenCountRequest
from server.api.responses.parts import file_source
from server.dependencies import Service
from server.media.documents import Documents

__all__ = ["with_texts"]

R = TypeVar("R", CreateResponse, TokenCountRequest)


async def with_texts(data: R, request: Request[Any, Any, Any], service: Service, documents: Documents) -> R:
    """The request, with the text of every file in a turn. PDFs whose pages the model reads stay, and tools' outputs.

    Raises:
        InvalidRequest, NotFound: a file cannot be had, or has no text.
        ClientDisconnected, ModelNotReady: the client or the server ended first.
    """
    if isinstance(data.input, str) or not any(map(_has_files, data.input or [])):
        return data
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
    field, source = file_source(part, path)
    document = await documents.read(source, f"{path}.{field}")
    if document is None:
        return part
    return attrs.evolve(part, text=document.text, filename=document.name)
