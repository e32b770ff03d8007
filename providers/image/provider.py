"""The image provider that answers from an engine process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from providers.engine_host.event_stream import Mailbox
from providers.engine_host.provider import EngineProvider
from providers.image.queued import QueuedImageProvider
from providers.image.types import ImageEvent, ImageRequest

__all__ = ["EngineImageProvider"]


class EngineImageProvider(EngineProvider[ImageRequest, ImageEvent], QueuedImageProvider):
    """An `ImageProvider` whose model lives in a process of its own."""

    def _mailbox(self, request: ImageRequest) -> Callable[[Callable[[bool], None]], Mailbox[ImageEvent]]:
        return partial(Mailbox, answers=request.n)
