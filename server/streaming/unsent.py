"""What waits for a slow client: bytes between the reader of an answer and the sender of its response."""

from __future__ import annotations

import asyncio

__all__ = ["Unsent"]

MAX_UNSENT = 8_000_000
"""Bytes that may wait for one client: three minutes of uncompressed speech, or any text.

An answer that fits in gives its place to the next request when the engine is done, however slowly the client reads.
"""


class Unsent:
    """A bounded buffer with one reader task and one sender."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._taken = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._bytes)

    def add(self, data: bytes) -> None:
        self._bytes += data

    async def room(self) -> None:
        """Wait until less than `MAX_UNSENT` bytes wait."""
        while len(self._bytes) >= MAX_UNSENT:
            self._taken.clear()
            await self._taken.wait()

    def take(self) -> bytes:
        """All bytes that wait."""
        data = bytes(self._bytes)
        self._bytes.clear()
        self._taken.set()
        return data
