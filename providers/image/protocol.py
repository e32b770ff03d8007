"""The Protocol of models that paint."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol, runtime_checkable

from providers.image.types import ImageEvent, ImageRequest
from providers.protocols import Capability, Provider

__all__ = ["IMAGE", "ImageProvider"]


@runtime_checkable
class ImageProvider(Provider, Protocol):
    """Generates images, or edits them."""

    def generate(self, request: ImageRequest) -> AsyncGenerator[ImageEvent, None]:
        """Queue, then paint: `ImageAccepted`, then per image progress, previews and `ImageFinished`.

        A request takes one place, whatever its `n`: its images are made one after the other. Closing or cancelling
        the generator frees its place within one step; consume it under `contextlib.aclosing`.

        Raises:
            QueueFull, QueueTimeout, ModelNotReady: before admission.
            InvalidRequest, UnsupportedParameter: instead of `ImageAccepted`.
            GenerationTimeout, EngineCrashed, OutOfMemory, InternalError: at any point.
        """
        ...


IMAGE: Capability[ImageProvider] = Capability("image", "paints")
