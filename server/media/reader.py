"""Media by its URL, whatever the scheme."""

from __future__ import annotations

import asyncio
from pathlib import Path

import attrs

from server.media.fetching import Fetcher
from server.media.local import decoded, of_base64, of_file
from server.media.media import Media

__all__ = ["MediaReader"]


@attrs.define(kw_only=True, eq=False)
class MediaReader:
    """Reads what requests name, within the operator's limits."""

    root: Path | None
    """The folder of `file:` URLs; None: there are none."""
    allow_private: bool
    """Whether to fetch from addresses that are not public."""
    max_bytes: int
    """Of each."""
    seconds: float
    """For each fetch."""
    _fetcher: Fetcher = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._fetcher = Fetcher(self.allow_private, self.max_bytes, self.seconds)

    async def read(self, url: str) -> Media:
        """The content of an `http:`, `https:`, `data:` or `file:` URL.

        Raises:
            MediaRefused: it cannot be had, or is not allowed.
        """
        match url[:5].lower():
            case "data:":
                return await asyncio.to_thread(decoded, url[:5].lower() + url[5:], max_bytes=self.max_bytes)
            case "file:":
                return await asyncio.to_thread(of_file, url, self.root, max_bytes=self.max_bytes)
        return await self._fetcher.fetch(url)

    async def read_inline(self, data: str) -> Media:
        """What a field of a request holds: a `data:` URL, or base64.

        Raises:
            MediaRefused: it is broken or too large.
        """
        if data[:5].lower() == "data:":
            return await self.read(data)
        return await asyncio.to_thread(of_base64, data, max_bytes=self.max_bytes)
