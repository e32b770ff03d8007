"""`POST /v1/images/generations` and `/v1/images/edits`: images from text, and from other images."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import Ge, Le, MaxLen, MinLen

from contracts._fields import Fraction, ModelName, Seconds
from contracts.parameters import honoured, noted, refused
from contracts.uploads import Upload

__all__ = [
    "MAX_SEED",
    "MAX_STEPS",
    "CompletedType",
    "CreateImageEditRequest",
    "CreateImageRequest",
    "Image",
    "ImageCompletedEvent",
    "ImageFormat",
    "ImagePartialEvent",
    "ImageRequestFields",
    "ImageStreamEvent",
    "ImageUsage",
    "ImageUsageDetails",
    "ImagesResponse",
    "PartialType",
]

ImageFormat = Literal["png", "jpeg", "webp"]
PartialType = Literal["image_generation.partial_image", "image_edit.partial_image"]
CompletedType = Literal["image_generation.completed", "image_edit.completed"]

MAX_PROMPT = 32_000
MAX_SEED = 2**32 - 1
MAX_STEPS = 200
Guidance = Annotated[float, Ge(0), Le(100)]


@attrs.frozen(kw_only=True)
class ImageRequestFields:
    """The fields of both endpoints. `null` means the same as leaving a field out. Unknown fields are noted."""

    prompt: Annotated[str, MinLen(1), MaxLen(MAX_PROMPT)] = attrs.field(
        metadata=honoured("What the image shows, or how it changes. White space only: `400`.")
    )
    model: ModelName | None = attrs.field(
        default=None,
        metadata=honoured(
            "With one model that paints, any name works and the response names the real one. With several, it must be "
            "the id or an alias of one.",
            otherwise="the only model that paints",
        ),
    )
    n: Annotated[int, Ge(1), Le(10)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Images, made one after the other. Each has the seed after that of the one before.", default=1
        ),
    )
    size: Annotated[str, MaxLen(32)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "See [Sizes](#sizes).",
            values="`auto`, or `WIDTHxHEIGHT` in pixels",
            default="auto",
        ),
    )
    seed: Annotated[int, Ge(-1), Le(MAX_SEED)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Equal requests with equal seeds give equal images. -1 means the same as leaving it out.",
            otherwise="drawn; the response has it",
        ),
    )
    steps: Annotated[int, Ge(1), Le(MAX_STEPS)] | None = attrs.field(
        default=None,
        metadata=honoured("Extension. Denoising steps: time grows with them.", otherwise="the model's own"),
    )
    guidance: Guidance | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. How closely the image follows the prompt. Models without guidance refuse it.",
            otherwise="the model's own",
        ),
    )
    guidance_scale: Guidance | None = attrs.field(
        default=None,
        metadata=honoured("Another name of `guidance`. Both may be sent if they agree.", otherwise="as `guidance`"),
    )
    negative_prompt: Annotated[str, MaxLen(MAX_PROMPT)] | None = attrs.field(
        default=None,
        metadata=honoured("Extension. What the image must not show. Models without it refuse it.", otherwise="none"),
    )
    response_format: Literal["b64_json", "url"] | None = attrs.field(
        default=None,
        metadata=honoured(
            "`url`: a data URL, as no image is stored. Events of a stream have `b64_json` only.", default="b64_json"
        ),
    )
    output_format: Literal["png", "jpeg", "jpg", "webp"] | None = attrs.field(
        default=None, metadata=honoured("Each has its seed, steps and model as metadata.", default="png")
    )
    output_compression: Annotated[int, Ge(0), Le(100)] | None = attrs.field(
        default=None,
        metadata=honoured("Quality of JPEG and WebP in percent. PNG has no loss: there it is noted.", default=100),
    )
    stream: bool | None = attrs.field(default=None, metadata=honoured("See [Streaming](#streaming).", default=False))
    partial_images: Annotated[int, Ge(0), Le(3)] | None = attrs.field(
        default=None,
        metadata=honoured("Previews of each image while it is made. Without a stream it is noted.", default=0),
    )
    timeout: Seconds | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Seconds from entering the engine; then `504`, or an error event in a stream.",
            otherwise="no limit",
        ),
    )

    quality: Any = attrs.field(default=None, metadata=noted("`steps` decides it.", accepted=("auto",)))
    style: Any = attrs.field(default=None, metadata=noted("The prompt decides it."))
    moderation: Any = attrs.field(
        default=None, metadata=noted("The server moderates nothing.", accepted=("auto", "low"))
    )
    user: Any = attrs.field(default=None, metadata=noted())
    background: Any = attrs.field(
        default=None,
        metadata=refused("auto", "opaque", note="Images are opaque: no model here makes transparent ones."),
    )


@attrs.frozen(kw_only=True)
class CreateImageRequest(ImageRequestFields):
    """A text to paint."""


@attrs.frozen(kw_only=True)
class CreateImageEditRequest(ImageRequestFields):
    """Images to change, as `multipart/form-data`. An empty field means the same as leaving it out."""

    image: Annotated[list[Upload], MaxLen(16)] = attrs.field(
        metadata=honoured(
            "PNG, JPEG, WebP, GIF, BMP or TIFF, known by its content. Several: the field is sent several times, with "
            "or without `[]` after its name. How many a model reads depends on it.",
            values="1 to 16 files",
        )
    )
    mask: Upload | None = attrs.field(
        default=None,
        metadata=honoured(
            "An image of the size of the first one. Its transparent parts change; if it has none, its white parts do.",
            values="a file",
            otherwise="all of the image may change",
        ),
    )
    strength: Fraction | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. How much of the first image stays, where the model begins with it instead of reading it. "
            "Other models refuse it.",
            otherwise="the model's own",
        ),
    )
    input_fidelity: Any = attrs.field(default=None, metadata=noted("Sources are read in full.", accepted=("high",)))


@attrs.frozen(kw_only=True)
class Image:
    """One image. `seed` and `steps` (extensions) make it again."""

    b64_json: str | None = None
    url: str | None = None
    """A data URL."""
    seed: int
    steps: int


@attrs.frozen(kw_only=True)
class ImageUsageDetails:
    """Tokens by kind."""

    text_tokens: int
    image_tokens: int


@attrs.frozen(kw_only=True)
class ImageUsage:
    """A text token is one character of the prompt. An image token is a square of 16 × 16 pixels, as models of latent
    diffusion see it."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: ImageUsageDetails
    output_tokens_details: ImageUsageDetails


@attrs.frozen(kw_only=True)
class ImagesResponse:
    """All images of a request."""

    created: int
    """Unix seconds."""
    data: list[Image]
    background: Literal["opaque"] = "opaque"
    output_format: ImageFormat
    size: str
    """`WIDTHxHEIGHT`."""
    usage: ImageUsage
    model: str
    request_id: str


@attrs.frozen(kw_only=True)
class _ImageEvent:
    """The base of both events. Images are in base64."""

    b64_json: str
    background: Literal["opaque"] = "opaque"
    created_at: int
    """Unix seconds."""
    output_format: ImageFormat
    quality: Literal["auto"] = "auto"
    size: str
    """`WIDTHxHEIGHT`."""
    index: int
    """Extension: the number of the image, from 0."""


@attrs.frozen(kw_only=True)
class ImagePartialEvent(_ImageEvent):
    """A preview of an image that is being made."""

    type: PartialType
    partial_image_index: int
    """Counts the previews of the image from 0."""


@attrs.frozen(kw_only=True)
class ImageCompletedEvent(_ImageEvent):
    """A finished image. Its usage is its own; the input counts with the first image."""

    type: CompletedType
    usage: ImageUsage
    seed: int
    steps: int
    model: str
    request_id: str


ImageStreamEvent = ImagePartialEvent | ImageCompletedEvent
