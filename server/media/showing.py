"""The pictures of a request, decoded within common bounds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from providers.chat.types import ImagePart, TextPart
from providers.errors import InvalidRequest, NotFound
from server.media.attachments import Attachment, Contents, Part, Seen, Source
from server.media.decoded import DecodedPictures
from server.media.documents import FILE_END, file_head
from server.media.drawing import Draw, pdf_pages, video_frames
from server.media.media import Media, MediaRefused, refuse_larger
from server.media.pictures import fitted, picture_size
from server.noted import note

__all__ = ["LEFT_OUT", "LOW_SIDE", "MAX_PICTURES", "MAX_PIXEL_BYTES", "Shown", "show"]

MAX_PICTURES = 64
"""Pictures of a request, earlier turns included."""
LEFT_OUT = 16
"""How many of the oldest pictures of tools and of earlier turns are left out together, if a request has too many."""
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
    files: Mapping[Source, Media] = attrs.field(factory=dict)
    pictures: int = 0
    content_bytes: int = 0
    pixel_bytes: int = 0


async def show(
    attachments: Sequence[Attachment], contents: Contents, decoded: DecodedPictures, *, max_side: int
) -> Shown:
    """Read and decode pictures, the pages of PDFs and frames of videos: all files, then all sizes, then all pixels.

    A picture is scaled to `max_side` or, with `detail: low`, to 512 pixels. If all have too many pixels together, the
    sides of those whose `detail` is neither `low` nor `high` are halved, down to 512. So are those of pages and frames.

    Raises:
        OutOfMemory: other requests hold too many pictures.
        InvalidRequest, NotFound: one that is required cannot be read, or there are too many; with the path.
    """
    attachments = _without_oldest(attachments)
    pictures = _pictures(attachments)
    read = 0

    async def media(source: Source) -> Media:
        nonlocal read
        found = await contents.read(source)
        read += len(found.content)
        refuse_larger(read, FILES * contents.media.max_bytes)
        return found

    files = await _each(attachments, media)
    sizes = await _each(_of(pictures, files), lambda source: picture_size(files[source].content))
    shown = _of(pictures, sizes)
    room = MAX_PIXEL_BYTES - _pixel_bytes(shown, sizes, _sides(shown, LOW_SIDE, max_side))
    others = _of([each for each in attachments if each.source.kind != "picture"], files)
    drawn = await _drawn(others, files, max_side, room, MAX_PICTURES - len(pictures))
    taken = sum(len(part.pixels) for each in attachments for part in drawn.get(each.source, ()))
    sides = _fitting(shown, sizes, max_side, MAX_PIXEL_BYTES - taken)
    decoded.check(_pixel_bytes(shown, sizes, sides) + taken)
    decoded.hold(part for parts in drawn.values() for part in parts)
    parts = await _each(shown, lambda source: decoded.part(files[source].content, sides[source]))
    every = {**drawn, **{source: [part] for source, part in parts.items()}}
    return Shown(
        {source: _seen(source, files[source], parts) for source, parts in every.items()},
        files,
        pictures=sum(map(len, every.values())),
        content_bytes=read,
        pixel_bytes=sum(len(part.pixels) for parts in every.values() for part in parts),
    )


def _pictures(attachments: Sequence[Attachment]) -> list[Attachment]:
    return [each for each in attachments if each.source.kind == "picture"]


def _without_oldest(attachments: Sequence[Attachment]) -> Sequence[Attachment]:
    """The attachments, without the oldest pictures that are not required if there are too many: a conversation of
    screenshots goes on.

    As many go together, so that the next requests, with a few more pictures, begin with the same prompt.

    Raises:
        InvalidRequest: too many are required.
    """
    pictures = _pictures(attachments)
    required = [each for each in pictures if each.required]
    if len(required) > MAX_PICTURES:
        place = required[MAX_PICTURES].path
        raise InvalidRequest(f"{place}: a request may have up to {MAX_PICTURES} pictures", param=place)
    surplus = max(0, len(pictures) - MAX_PICTURES)
    left_out = [each for each in pictures if not each.required][: -(-surplus // LEFT_OUT) * LEFT_OUT]
    for each in left_out:
        note(each.noted)
    gone = set(map(id, left_out))
    return [each for each in attachments if id(each) not in gone]


def _seen(source: Source, media: Media, parts: Sequence[ImagePart]) -> Sequence[Part]:
    """The pictures, between marks of the file that they are of."""
    if source.kind == "picture":
        return parts
    if source.kind == "video":
        return [TextPart("<video>"), *parts, TextPart("</video>")]
    return [TextPart(file_head(source.name or media.name or "file")), *parts, TextPart(FILE_END)]


async def _drawn(
    attachments: Sequence[Attachment], files: Mapping[Source, Media], max_side: int, room: int, most: int
) -> dict[Source, list[ImagePart]]:
    """The pages and frames, one file after the other. `room`: bytes of pixels; `most`: pictures. Raises as `show`."""
    drawn: dict[Source, list[ImagePart]] = {}
    uses = Counter(each.source for each in attachments)
    for attachment in _firsts(attachments):
        source = attachment.source
        draw: Draw = pdf_pages if source.kind == "file" else video_frames
        bounds = {"most": max(0, most) // uses[source], "max_bytes": max(0, room) // uses[source]}
        try:
            parts = await draw(files[source].content, max_side=max_side, **bounds)
        except MediaRefused as error:
            _refuse(attachment, error)
            continue
        drawn[source] = parts
        most -= uses[source] * len(parts)
        room -= uses[source] * sum(len(part.pixels) for part in parts)
    return drawn


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

    try:
        async with asyncio.TaskGroup() as group:
            for attachment in _firsts(attachments):
                group.create_task(one(attachment))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return done


def _firsts(attachments: Sequence[Attachment]) -> list[Attachment]:
    """An attachment of each source: one that is required, if there is any."""
    firsts: dict[Source, Attachment] = {}
    for attachment in sorted(attachments, key=lambda each: not each.required):
        firsts.setdefault(attachment.source, attachment)
    return list(firsts.values())


def _refuse(attachment: Attachment, error: MediaRefused | NotFound) -> None:
    """Raise the error of a picture that is required. Another one is noted."""
    place = attachment.place
    if not attachment.required:
        note(attachment.noted)
    elif isinstance(error, NotFound):
        raise NotFound(f"{place}: {error.message}", param=place) from None
    else:
        raise InvalidRequest(f"{place}: the {attachment.source.kind} cannot be read: {error}", param=place) from None


def _fitting(
    attachments: Sequence[Attachment], sizes: Mapping[Source, Size], max_side: int, room: int
) -> dict[Source, int]:
    """The longest side of each picture, so that all have up to `room` bytes of pixels. Raises: InvalidRequest."""
    side = max_side
    while _pixel_bytes(attachments, sizes, sides := _sides(attachments, side, max_side)) > room:
        if side <= LOW_SIDE:
            path = _first_beyond(attachments, sizes, sides, room).path
            raise InvalidRequest(
                f"{path}: the pictures of a request have together up to {MAX_PIXEL_BYTES // 3:,} pixels; send fewer or "
                "smaller ones, or `detail: low`",
                param=path,
            )
        side = max(LOW_SIDE, side // 2)
    return sides


def _first_beyond(
    attachments: Sequence[Attachment], sizes: Mapping[Source, Size], sides: Mapping[Source, int], room: int
) -> Attachment:
    for attachment in attachments:
        room -= _pixel_bytes([attachment], sizes, sides)
        if room < 0:
            break
    return attachment


def _pixel_bytes(attachments: Sequence[Attachment], sizes: Mapping[Source, Size], sides: Mapping[Source, int]) -> int:
    fits = (fitted(*sizes[each.source], sides[each.source]) for each in attachments)
    return 3 * sum(width * height for width, height in fits)


def _sides(attachments: Sequence[Attachment], side: int, max_side: int) -> dict[Source, int]:
    return {each.source: _side(each.source, side, max_side) for each in attachments}


def _side(source: Source, side: int, max_side: int) -> int:
    """The longest side of a picture, where those that may be scaled have this one."""
    if source.detail == "low":
        return min(LOW_SIDE, max_side)
    return max_side if source.detail == "high" else min(side, max_side)
