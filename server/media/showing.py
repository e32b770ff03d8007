"""The pictures of a request, decoded within common bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from providers.errors import InvalidRequest, NotFound
from server.media.attachments import Attachment, Contents, Seen, Source
from server.media.media import MediaRefused, refuse_larger
from server.media.pictures import fitted, image_part, picture_size
from server.noted import note

__all__ = ["LOW_SIDE", "MAX_PICTURES", "MAX_PIXEL_BYTES", "Shown", "show"]

MAX_PICTURES = 64
"""Pictures of a request, earlier turns included."""
MAX_PIXEL_BYTES = 48 * 1024 * 1024
"""Bytes of their pixels together: they reach the engine in one frame, beside the texts."""
LOW_SIDE = 512
"""The longest side of a picture whose `detail` is `low`, and to which others are scaled if they are many."""
FILES = 4
"""The files have together up to this many times the size that one may have."""

T = TypeVar("T")
Size = tuple[int, int]


@attrs.frozen
class Shown:
    """The pictures by their sources, their files, and what they took."""

    seen: Seen = attrs.field(factory=dict)
    files: Mapping[Source, bytes] = attrs.field(factory=dict)
    content_bytes: int = 0
    pixel_bytes: int = 0


async def show(attachments: Sequence[Attachment], contents: Contents, *, max_side: int) -> Shown:
    """Read and decode pictures: all files, then all sizes, then all pixels.

    A picture is scaled to `max_side` or, with `detail: low`, to 512 pixels. If all have too many pixels together, the
    sides of those whose `detail` is neither `low` nor `high` are halved, down to 512.

    Raises:
        InvalidRequest, NotFound: one that is required cannot be read, or there are too many; with the path.
    """
    if len(attachments) > MAX_PICTURES:
        place = attachments[MAX_PICTURES].path
        raise InvalidRequest(f"{place}: a request may have up to {MAX_PICTURES} pictures", param=place)
    read = 0

    async def content(source: Source) -> bytes:
        nonlocal read
        found = (await contents.read(source)).content
        read += len(found)
        refuse_larger(read, FILES * contents.media.max_bytes)
        return found

    files = await _each(attachments, content)
    sizes = await _each(_of(attachments, files), lambda source: picture_size(files[source]))
    shown = _of(attachments, sizes)
    sides = _sides(shown, sizes, max_side)
    parts = await _each(shown, lambda source: image_part(files[source], max_side=sides[source]))
    return Shown(
        {source: [part] for source, part in parts.items()},
        files,
        content_bytes=read,
        pixel_bytes=sum(len(part.pixels) for part in parts.values()),
    )


def _of(attachments: Sequence[Attachment], found: Mapping[Source, Any]) -> list[Attachment]:
    return [attachment for attachment in attachments if attachment.source in found]


async def _each(attachments: Sequence[Attachment], work: Callable[[Source], Coroutine[Any, Any, T]]) -> dict[Source, T]:
    """What `work` returns for each source, all at the same time. Raises as `show`."""
    done: dict[Source, T] = {}

    async def one(attachment: Attachment) -> None:
        try:
            done[attachment.source] = await work(attachment.source)
        except (MediaRefused, NotFound) as error:
            _refuse(attachment, error)

    firsts: dict[Source, Attachment] = {}
    for attachment in sorted(attachments, key=lambda each: not each.required):
        firsts.setdefault(attachment.source, attachment)
    try:
        async with asyncio.TaskGroup() as group:
            for attachment in firsts.values():
                group.create_task(one(attachment))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return done


def _refuse(attachment: Attachment, error: MediaRefused | NotFound) -> None:
    """Raise the error of a picture that is required. Another one is noted."""
    place = attachment.place
    if not attachment.required:
        note(attachment.noted)
    elif isinstance(error, NotFound):
        raise NotFound(f"{place}: {error.message}", param=place) from None
    else:
        raise InvalidRequest(f"{place}: the picture cannot be read: {error}", param=place) from None


def _sides(attachments: Sequence[Attachment], sizes: Mapping[Source, Size], max_side: int) -> dict[Source, int]:
    """The longest side of each picture. Raises: InvalidRequest."""
    side = max_side
    while True:
        sides = {each.source: _side(each.source, side, max_side) for each in attachments}
        total = 0
        for each in attachments:
            width, height = fitted(*sizes[each.source], sides[each.source])
            total += 3 * width * height
            if total > MAX_PIXEL_BYTES:
                break
        else:
            return sides
        if side <= LOW_SIDE:
            raise InvalidRequest(
                f"{each.path}: the pictures of a request have together up to {MAX_PIXEL_BYTES // 3:,} pixels; send "
                "fewer or smaller ones, or `detail: low`",
                param=each.path,
            )
        side = max(LOW_SIDE, side // 2)


def _side(source: Source, side: int, max_side: int) -> int:
    if source.detail == "low":
        return min(LOW_SIDE, max_side)
    return max_side if source.detail == "high" else side
