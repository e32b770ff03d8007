"""Where turns have what is not text: a URL, base64, or the id of an uploaded file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from providers.chat.types import ImagePart, TextPart
from server.media.media import Media, MediaRefused, refuse_larger
from server.media.reader import MediaReader
from server.retrieval.uploads import Uploads

__all__ = ["Attachment", "Contents", "Detail", "Part", "Seen", "Source", "to_detail"]

Detail = Literal["auto", "low", "high"]
Part = TextPart | ImagePart


def to_detail(value: str | None) -> Detail:
    """Unknown values mean `auto`; `original` is as large as `high`."""
    return "low" if value == "low" else "high" if value in ("high", "original") else "auto"


@attrs.frozen
class Source:
    """Where something is, and how it is to be read. Equal sources are read once."""

    by: Literal["url", "data", "id"]
    value: str
    """A URL of any scheme that the server reads, base64, or the id of an uploaded file."""
    kind: Literal["picture", "file", "video"] = "picture"
    """Of a `file` the pages are read, if it is a PDF."""
    detail: Detail = "auto"
    name: str | None = None
    """Of a file, if the client gives it one."""


@attrs.frozen
class Attachment:
    """A source in a turn."""

    path: str
    """Of its part."""
    field: str
    """Of the part, with the source."""
    source: Source
    required: bool = True
    """False: a tool made it, or an earlier request had it. A client cannot mend it, so the model reads a placeholder
    where it cannot be read."""

    @property
    def noted(self) -> str:
        """The path as a note has it, without indices."""
        return re.sub(r"\[\d+\]", "[]", self.place)

    @property
    def place(self) -> str:
        """The path of the field."""
        return f"{self.path}.{self.field}"


Seen = Mapping[Source, Sequence[Part]]
"""What the model reads of each source. A source that is missing is not read."""


@attrs.define(eq=False)
class Contents:
    """The bytes of a request's sources."""

    media: MediaReader
    files: Uploads
    _kept: dict[tuple[str, str], Media] = attrs.field(factory=dict, init=False)

    def keep(self, source: Source, media: Media) -> None:
        """Keep what was read for the next to read it."""
        self._kept[source.by, source.value] = media

    async def read(self, source: Source) -> Media:
        """
        Raises:
            MediaRefused: it cannot be had, or is too large.
            NotFound: there is no such file.
        """
        if (kept := self._kept.get((source.by, source.value))) is not None:
            return kept
        if source.by == "url":
            return await self.media.read(source.value)
        if source.by == "data":
            return await self.media.read_inline(source.value)
        row = await self.files.get(source.value)
        refuse_larger(row.bytes, self.media.max_bytes)
        try:
            content = await asyncio.to_thread((await self.files.path(source.value)).read_bytes)
        except OSError:
            raise MediaRefused("the file is gone") from None
        return Media(content=content, name=row.filename)
