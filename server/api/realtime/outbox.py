"""The events that a client has not taken yet: in order, and bounded."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Outbox"]

MOST_BYTES = 1 << 20
"""Of events that wait. Generation waits for room, so that a client which does not read holds no more."""


class Outbox:
    """Frames between a session and its socket. `put` never waits: the order of the session's events is that of `put`.

    Code that makes events waits for `room` before it makes more.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._frames: deque[str] = deque()
        self._bytes = 0
        self._closed = False
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    def put(self, frame: str) -> None:
        if self._closed:
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        self._filled.set()
        if self._bytes > self._most:
            self._emptied.clear()

    async def room(self) -> None:
        """Wait until less than the bound waits."""
        await self._emptied.wait()

    async def next(self) -> str | None:
        """The next frame; None: it is closed, and the last one was taken."""
        while not self._frames:
            if self._closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        if self._bytes <= self._most:
            self._emptied.set()
        return frame

    def close(self) -> None:
        """Take no more frames; those that wait are still sent."""
        self._closed = True
        self._filled.set()
        self._emptied.set()
