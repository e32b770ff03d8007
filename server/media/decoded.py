"""The pixels of all requests: their common bound, and those that later turns of a conversation repeat."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable

from providers.bounded_cache import BoundedCache
from providers.chat.types import ImagePart
from providers.errors import OutOfMemory
from server.media.pictures import digest, image_part

__all__ = ["DecodedPictures"]

MAX_BYTES = 1 << 30
"""Of the pixels that requests hold, waiting ones included."""
KEPT_BYTES = 64 << 20
"""Of the pixels that are kept for later turns."""
_RETRY_SECONDS = 1.0


class DecodedPictures:
    """Decodes pictures, and counts their pixels until the last request that holds them has ended."""

    def __init__(self, max_bytes: int = MAX_BYTES, kept_bytes: int = KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: BoundedCache[tuple[str, int], ImagePart] = BoundedCache(kept_bytes)
        self._held = 0
        self._released: deque[int] = deque()
        """Sizes of pixels that were freed. Any thread may free them."""

    @property
    def held(self) -> int:
        """Bytes of all pixels that are in memory."""
        while self._released:
            self._held -= self._released.popleft()
        return self._held

    def check(self, more: int) -> None:
        """Refuse pixels that have no room.

        Raises:
            OutOfMemory: other requests hold too many. One request always has room.
        """
        if self.held > self._kept.nbytes and self._held + more > self._max_bytes:
            raise OutOfMemory(
                f"the pictures of requests in flight take {self._held:,} bytes; {self._max_bytes:,} is the limit",
                retry_after=_RETRY_SECONDS,
            )

    def hold(self, parts: Iterable[ImagePart]) -> None:
        """Count pixels until they are freed."""
        for part in parts:
            self._held += len(part.pixels)
            weakref.finalize(part, self._released.append, len(part.pixels))

    async def part(self, content: bytes, max_side: int) -> ImagePart:
        """The picture in a file, within a longest side. Raises as `image_part`."""
        key = await digest(content), max_side
        found = self._kept.get(key)
        if found is None:
            found = await image_part(content, max_side=max_side)
            self.hold([found])
            self._kept.put(key, found, len(found.pixels))
        return found
