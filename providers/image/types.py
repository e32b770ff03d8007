"""Images as the providers see them: one request type, and the events that answer it.

Pixels are RGB, 8 bits per channel, row by row from the top left, without alpha: `3 × width × height` bytes.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from providers.events import Event

__all__ = [
    "MAX_SEED",
    "ImageAccepted",
    "ImageEvent",
    "ImageFinished",
    "ImagePreview",
    "ImageProgress",
    "ImageRequest",
    "SourceImage",
]

MAX_SEED = 2**32 - 1
"""Seeds begin at 0. The image number `index` of a request has the seed `(seed + index) % (MAX_SEED + 1)`."""


class SourceImage(msgspec.Struct, frozen=True):
    """An image to edit. As a mask: its white parts change, its black parts stay."""

    width: int
    height: int
    pixels: bytes


class ImageRequest(msgspec.Struct, frozen=True, tag="image"):
    """A text to paint, or how to change the `sources`.

    `width` and `height` of the result are in pixels; the engine rounds them down to what the model can make, and
    `ImageAccepted` has what was chosen. `seed` None: the engine draws one. `steps`, `guidance` and `strength` None:
    the model's own values. `strength`, from 0 to 1, is how much of the first source stays where the model continues
    it instead of reading it. `mask` has the size of the first source. `partial_images`: how many previews of each
    image to send between the steps. `timeout` is in seconds from admission into the engine.
    """

    id: str
    prompt: str
    n: int = 1
    width: int = 1024
    height: int = 1024
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str | None = None
    sources: list[SourceImage] = []
    mask: SourceImage | None = None
    strength: float | None = None
    partial_images: int = 0
    timeout: float | None = None


class ImageAccepted(Event, frozen=True, array_like=True, tag="ia"):
    """The request passed every check. Always the first event, and sent once. `seed` is that of the first image."""

    width: int
    height: int
    steps: int
    seed: int


class ImageProgress(Event, frozen=True, array_like=True, tag="ip"):
    """`step` of `steps` steps of the image number `index` are done."""

    index: int
    step: int
    steps: int


class ImagePreview(Event, frozen=True, array_like=True, tag="iv"):
    """The image number `index` as it is between two steps. `number` counts its previews from 0."""

    index: int
    number: int
    width: int
    height: int
    pixels: bytes


class ImageFinished(Event, frozen=True, array_like=True, tag="if"):
    """The image number `index`. One per image, in order; the last one of `n` is the last event.

    Seconds: `queue` from admission to the image's first work, `encode` for the prompt and the sources (0 where an
    earlier image of the request had them encoded), `denoise` for the steps, `decode` for the pixels and the previews.
    """

    ends: ClassVar[bool] = True

    index: int
    width: int
    height: int
    pixels: bytes
    seed: int
    steps: int
    queue_seconds: float = 0.0
    encode_seconds: float = 0.0
    denoise_seconds: float = 0.0
    decode_seconds: float = 0.0
    step_seconds: tuple[float, ...] = ()
    """When each step ended, in seconds of `denoise`."""


ImageEvent = ImageAccepted | ImageProgress | ImagePreview | ImageFinished
