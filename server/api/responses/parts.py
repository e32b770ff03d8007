"""The parts of what items hold: their texts, their pictures, and what stands in the place of what is not read."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Literal

import attrs

from contracts.responses.items import (
    CustomToolCallOutput,
    FunctionCallOutput,
    InputAudioContent,
    InputFileContent,
    InputImageContent,
    InputItem,
    InputMessage,
    RefusalContent,
    StoredItem,
)
from providers.chat.types import Content
from providers.errors import InvalidRequest
from server.api.generation.parts.content import joined
from server.media.attachments import Attachment, Part, Seen, Source, to_detail
from server.media.documents import Document, file_block
from server.media.media import Media
from server.media.pictures import media_type

__all__ = [
    "UNREAD",
    "content_text",
    "file_source",
    "input_attachments",
    "item_attachments",
    "kind",
    "parts_of",
    "picture_source",
    "to_content",
    "with_files",
]

UNREAD = (InputImageContent, InputFileContent, InputAudioContent)
Unread = InputImageContent | InputFileContent | InputAudioContent

_SOURCES: Mapping[str, Literal["data", "url", "id"]] = {"file_data": "data", "file_url": "url", "file_id": "id"}
"""The fields with a file, and what they hold."""
_NOTHING: Seen = MappingProxyType({})


def kind(part: Unread) -> Literal["audio", "file", "image"]:
    if isinstance(part, InputImageContent):
        return "image"
    return "audio" if isinstance(part, InputAudioContent) else "file"


def content_text(content: Any) -> str:
    """The text of content in this server's own form."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(_part_text(part) for part in content)


def to_content(content: Any, seen: Seen = _NOTHING) -> Content:
    """As `content_text`, with the pictures that are seen."""
    if not isinstance(content, list) or not seen:
        return content_text(content)
    return joined(piece for part in content for piece in _pieces(part, seen))


def picture_source(part: Any) -> Source | None:
    """Where a part's picture is, or its file. None: it is none, names none, or its text was read."""
    if isinstance(part, InputFileContent) and part.text is None:
        with suppress(InvalidRequest):
            return file_source(part, "")[1]
    if not isinstance(part, InputImageContent):
        return None
    if part.image_url:
        return Source("url", part.image_url, detail=to_detail(part.detail))
    return Source("id", part.file_id, detail=to_detail(part.detail)) if part.file_id else None


def file_source(part: InputFileContent, path: str) -> tuple[str, Source]:
    """The field of a part with the source of its file, and the source.

    Raises:
        InvalidRequest: there is none, or several.
    """
    given = [(name, by) for name, by in _SOURCES.items() if getattr(part, name)]
    if len(given) != 1:
        raise InvalidRequest(f"{path}: one of file_data, file_url and file_id is required", param=path)
    ((field, by),) = given
    return field, Source(by, getattr(part, field), kind="file", name=part.filename)


def input_attachments(items: str | Sequence[InputItem] | None) -> Iterator[Attachment]:
    """The pictures and files of the input. Those of tools' outputs are not required.

    Raises:
        InvalidRequest: a picture has no source, or two.
    """
    for index, item in enumerate(() if isinstance(items, str) else items or ()):
        name, parts, required = parts_of(item)
        for place, part in enumerate(parts):
            path = f"input[{index}].{name}[{place}]"
            if isinstance(part, InputFileContent) and part.text is None and required:
                yield Attachment(path, *file_source(part, path))
                continue
            if required and isinstance(part, InputImageContent) and bool(part.image_url) == bool(part.file_id):
                raise InvalidRequest(f"{path}: one of image_url and file_id is required", param=path)
            if (source := picture_source(part)) is not None:
                yield Attachment(path, _field(source), source, required)


def item_attachments(items: Iterable[StoredItem]) -> Iterator[Attachment]:
    """The pictures and files of earlier items. None is required: a file may be gone, and the model another one."""
    for item in items:
        for part in parts_of(item)[1]:
            if (source := picture_source(part)) is not None:
                yield Attachment("previous_response_id", part.type, source, required=False)


def with_files(items: Sequence[StoredItem], files: Mapping[Source, Media]) -> list[StoredItem]:
    """The items with the contents of pictures instead of their URLs: what a URL names changes or goes."""
    return [_with_files(item, files) for item in items]


def _with_files(item: StoredItem, files: Mapping[Source, Media]) -> StoredItem:
    name, parts, _ = parts_of(item)
    if not any(picture_source(part) in files for part in parts):
        return item
    changed: dict[str, Any] = {name: [_with_file(part, files) for part in parts]}
    return attrs.evolve(item, **changed)


def _with_file(part: Any, files: Mapping[Source, Media]) -> Any:
    source = picture_source(part)
    if source is None or source not in files or source.by == "id" or source.value[:5].lower() == "data:":
        return part
    media = files[source]
    data = base64.b64encode(media.content).decode()
    if isinstance(part, InputFileContent):
        return attrs.evolve(part, file_url=None, file_data=data, filename=part.filename or media.name)
    return attrs.evolve(part, image_url=f"data:{media_type(media.content)};base64,{data}")


def _field(source: Source) -> str:
    if source.kind == "file":
        return f"file_{source.by}"
    return "image_url" if source.by == "url" else "file_id"


def parts_of(item: InputItem | StoredItem) -> tuple[str, list[Any], bool]:
    """The name of the field with an item's parts, the parts, and whether they are the client's own."""
    if isinstance(item, InputMessage) and item.role != "assistant" and isinstance(item.content, list):
        return "content", [*item.content], True
    if isinstance(item, FunctionCallOutput | CustomToolCallOutput) and isinstance(item.output, list):
        return "output", [*item.output], False
    return "", [], False


def _pieces(part: Any, seen: Seen) -> Sequence[str | Part]:
    source = picture_source(part)
    found = () if source is None else seen.get(source, ())
    return found or (_part_text(part),)


def _part_text(part: Any) -> str:
    if isinstance(part, RefusalContent):
        return part.refusal
    if isinstance(part, InputFileContent) and part.text is not None:
        return file_block(Document(part.filename or "file", part.text))
    if isinstance(part, InputAudioContent) and part.transcript is not None:
        return part.transcript
    if isinstance(part, UNREAD):
        return f"[{kind(part)}]"
    return str(getattr(part, "text", ""))
