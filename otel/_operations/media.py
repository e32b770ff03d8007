"""The span of the reading of a request's pictures, files and sounds."""

from __future__ import annotations

from otel import names
from otel._operations.block import Block

__all__ = ["MediaSpan", "start_media"]


class MediaSpan(Block):
    """The time from a request's URLs and data to pixels and texts."""

    __slots__ = ()

    def read(self, *, pictures: int, content_bytes: int, pixel_bytes: int) -> None:
        """Record what was decoded."""
        self._set(
            {
                names.MEDIA_PICTURES: pictures,
                names.MEDIA_CONTENT_BYTES: content_bytes,
                names.MEDIA_PIXEL_BYTES: pixel_bytes,
            }
        )


def start_media(*, model: str, request_id: str) -> MediaSpan:
    """Start the span; use it as `with start_media(…) as span:`."""
    known = {names.GEN_AI_PROVIDER_NAME: names.PROVIDER, names.GEN_AI_REQUEST_MODEL: model}
    return MediaSpan("media", attributes=known, request_id=request_id)
