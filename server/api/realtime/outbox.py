"""The events that a client has not taken yet: in order, and bounded."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Outbox"]

MOST_BYTES = 256 << 10
"""Of events that wait. Generation waits for room, so that a client which does not read holds no more, and an
interruption is not behind minutes of sound."""
SLACK = 4
"""Times as many hold up the reader: a client on a slow line can still interrupt."""


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
        self._bearable = asyncio.Event()
        self._bearable.set()

    def put(self, frame: str) -> None:
        if self._closed:
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        self._filled.set()
        if self._bytes > self._most:
            self._emptied.clear()
        if self._bytes > SLACK * self._most:
            self._bearable.clear()

    async def room(self, *, slack: bool = False) -> None:
        """Wait until less than the bound waits, or with `slack` less than `SLACK` times as much."""
        await (self._bearable if slack else self._emptied).wait()

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
        if self._bytes <= SLACK * self._most:
            self._bearable.set()
        return frame

    def close(self) -> None:
        """Take no more frames; those that wait are still sent."""
        self._closed = True
        for event in (self._filled, self._emptied, self._bearable):
            event.set()
