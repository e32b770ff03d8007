"""Media by its URL, whatever the scheme."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from server.media.local import decoded, of_base64, of_file
from server.media.media import Media

if TYPE_CHECKING:
    from server.media.fetching import Fetcher

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
    _fetcher: Fetcher | None = attrs.field(default=None, init=False)

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
        return await self._fetch(url)

    async def read_inline(self, data: str) -> Media:
        """What a field of a request holds: a `data:` URL, or base64.

        Raises:
            MediaRefused: it is broken or too large.
        """
        if data[:5].lower() == "data:":
            return await self.read(data)
        return await asyncio.to_thread(of_base64, data, max_bytes=self.max_bytes)

    async def _fetch(self, url: str) -> Media:
        if self._fetcher is None:
            # Here and in a thread, because the import of an HTTP client takes a tenth of the server's start.
            fetching = await asyncio.to_thread(importlib.import_module, "server.media.fetching")
            self._fetcher = self._fetcher or fetching.Fetcher(self.allow_private, self.max_bytes, self.seconds)
        return await self._fetcher.fetch(url)
