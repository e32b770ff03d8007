"""Files and recordings in the items of a response's input, with their texts."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs
from litestar import Request

from contracts.responses.items import InputAudioContent, InputFileContent, InputItem
from contracts.responses.request import CreateResponse, TokenCountRequest
from providers.errors import InvalidRequest
from server.api.generation.parts.recordings import Hearing, hearing
from server.api.responses.parts import file_source, parts_of, picture_source
from server.dependencies import Service
from server.media.documents import Documents

__all__ = ["with_texts"]

R = TypeVar("R", CreateResponse, TokenCountRequest)


async def with_texts(data: R, request: Request[Any, Any, Any], service: Service, documents: Documents) -> R:
    """The request, with the text of every file and, if it or the server's option asks for that, of every recording in
    a turn. PDFs whose pages the model reads stay, and of tools' outputs the files that cannot be read, and recordings.

    Raises:
        UnsupportedParameter: no model transcribes.
        InvalidRequest, NotFound: a file or a recording of the client cannot be had, or has no text.
        ServiceError: any error of the model that transcribes.
        ClientDisconnected, ModelNotReady: the client or the server ended first.
    """
    items = data.input
    if isinstance(items, str) or items is None:
        return data
    recorded = any(map(_is_recorded, items))
    if not recorded and not any(map(_has_files, items)):
        return data
    reader = _Reader(documents, hearing(data.audio_input, request, service) if recorded else None)
    async with service.answering(request.receive):
        return attrs.evolve(
            data, input=[await reader.item(item, f"input[{index}]") for index, item in enumerate(items)]
        )


def _has_files(item: InputItem) -> bool:
    return any(isinstance(part, InputFileContent) and part.text is None for part in parts_of(item)[1])


def _is_recorded(item: InputItem) -> bool:
    _, parts, own = parts_of(item)
    return own and any(isinstance(part, InputAudioContent) and part.transcript is None for part in parts)


@attrs.frozen
class _Reader:
    """Reads what one request has, in order."""

    documents: Documents
    hearing: Hearing | None

    async def item(self, item: InputItem, path: str) -> InputItem:
        name, parts, own = parts_of(item)
        if not parts:
            return item
        read: dict[str, Any] = {
            name: [await self._part(part, f"{path}.{name}[{place}]", own) for place, part in enumerate(parts)]
        }
        return attrs.evolve(item, **read)

    async def _part(self, part: Any, path: str, own: bool) -> Any:
        if isinstance(part, InputFileContent) and part.text is None:
            return await self._file(part, path, own)
        if isinstance(part, InputAudioContent) and part.transcript is None and own and self.hearing is not None:
            place = f"{path}.input_audio.data"
            recording = part.input_audio.get("data") if isinstance(part.input_audio, dict) else None
            if not isinstance(recording, str):
                raise InvalidRequest(f"{place}: required, as text", param=place)
            return InputAudioContent(type=part.type, transcript=await self.hearing.text(recording, place))
        return part

    async def _file(self, part: InputFileContent, path: str, own: bool) -> InputFileContent:
        if own:
            field, source = file_source(part, path)
            document = await self.documents.read(source, f"{path}.{field}")
        else:
            document = await self.documents.returned(picture_source(part))
        if document is None:
            return part
        return attrs.evolve(part, text=document.text, filename=document.name)
