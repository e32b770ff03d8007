"""The echo's pictures: two colours of the prompt and the seed, one fading into the other, under a checkerboard.

They have no weights and no time, and depend on everything that a real model's depend on, so that a test can tell one
from another. An edit paints over its first source, where the mask lets it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from hashlib import sha256
from time import monotonic
from typing import Any

import attrs
import numpy as np

from providers.image.types import (
    MAX_SEED,
    ImageAccepted,
    ImageEvent,
    ImageFinished,
    ImagePreview,
    ImageProgress,
    ImageRequest,
    SourceImage,
)

__all__ = ["painted"]

DEFAULT_STEPS = 4
_GREY = 127
_PAINT = 0.5
"""The part of a pixel that an edit paints."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@attrs.frozen
class Canvas:
    """One picture of a request."""

    request: ImageRequest
    index: int
    seed: int
    steps: int

    def picture(self) -> Pixels:
        """Height × width × 3."""
        request = self.request
        known = (request.prompt, request.negative_prompt, request.guidance, request.strength, self.seed, self.steps)
        digest = sha256(repr(known).encode("utf-8", "surrogatepass")).digest()
        begin, end = (np.frombuffer(digest[at : at + 3], np.uint8).astype(np.float32) for at in (0, 3))
        down = np.linspace(0, 1, request.height, dtype=np.float32)[:, None]
        across = np.linspace(0, 1, request.width, dtype=np.float32)[None, :]
        fade = ((down + across) / 2)[:, :, None]
        squares = 8 + digest[6] % 56
        checks = (np.arange(request.height)[:, None] // squares + np.arange(request.width)[None, :] // squares) % 2
        painted = ((begin + (end - begin) * fade) * (0.75 + 0.25 * checks[:, :, None])).astype(np.uint8)
        return self._over_source(painted) if request.sources else painted

    def preview(self, number: int) -> ImagePreview:
        """The picture behind a grey that each preview has less of."""
        shown = (number + 1) / (self._previews + 1)
        picture = self.picture()
        height, width = picture.shape[:2]
        veiled = (picture * shown + _GREY * (1 - shown)).astype(np.uint8)
        return ImagePreview(self.index, number, width, height, veiled.tobytes())

    def previews_after(self, step: int) -> range:
        """The numbers of the previews that follow this step. None follows the last step."""
        most = self._previews
        before, after = (min(most, at * (most + 1) // self.steps) for at in (step - 1, step))
        return range(before, after)

    @property
    def _previews(self) -> int:
        return min(self.request.partial_images, self.steps - 1)

    def _over_source(self, painted: Pixels) -> Pixels:
        height, width = painted.shape[:2]
        source = _scaled(self.request.sources[0], width, height)
        edited = (source * (1 - _PAINT) + painted * _PAINT).astype(np.uint8)
        if self.request.mask is None:
            return edited
        changes = _scaled(self.request.mask, width, height)[:, :, :1] > 127
        return np.where(changes, edited, source)


async def painted(request: ImageRequest, pause: Callable[[], Awaitable[None]]) -> AsyncGenerator[ImageEvent, None]:
    """The events of a request. `pause` is awaited before each step. Paints in threads."""
    first = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
    steps = request.steps or DEFAULT_STEPS
    yield ImageAccepted(request.width, request.height, steps, first)
    for index in range(request.n):
        canvas, begun = Canvas(request, index, (first + index) % (MAX_SEED + 1), steps), monotonic()
        ended: list[float] = []
        for step in range(1, steps + 1):
            await pause()
            ended.append(monotonic() - begun)
            yield ImageProgress(index, step, steps)
            for number in canvas.previews_after(step):
                yield await asyncio.to_thread(canvas.preview, number)
        denoised = monotonic()
        pixels = (await asyncio.to_thread(canvas.picture)).tobytes()
        yield ImageFinished(
            index,
            request.width,
            request.height,
            pixels,
            canvas.seed,
            steps,
            denoise_seconds=denoised - begun,
            decode_seconds=monotonic() - denoised,
            step_seconds=tuple(ended),
        )


def _scaled(image: SourceImage, width: int, height: int) -> Pixels:
    """The nearest pixels."""
    pixels = np.frombuffer(image.pixels, np.uint8).reshape(image.height, image.width, 3)
    rows, columns = np.arange(height) * image.height // height, np.arange(width) * image.width // width
    return pixels[rows][:, columns]
