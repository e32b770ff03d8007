"""`image_generation` of a response: the calls of the model, painted by an image model of this server.

The model calls it as a function, whose argument is the prompt. What it calls is painted when its own output has ended,
so that its place is free meanwhile, and in the order of its calls.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

import attrs
import msgspec

from contracts.conversion.validation import is_validation_error
from contracts.responses.items import ImageCallError
from contracts.responses.tools import ImageGenerationTool, OtherTool, Tool
from providers.chat.types import Finished, GenerationEvent, ToolCallDelta
from providers.errors import InvalidRequest, ModelNotFound, ServiceError
from providers.events import Event
from providers.image.protocol import IMAGE, ImageProvider
from providers.image.types import ImageRequest
from server.api.images.encoding import EncodedImage, FinishedImage, encoded, require_encoder
from server.api.images.request import ImageAnswer, size_of
from server.api.refusals import check_parameters
from server.api.responses.tools import IMAGE as NAME
from server.api.responses.tools import PROMPT, OfferedTools
from server.dependencies import Registry
from server.errors import invalid_body
from server.noted import note_unknown
from server.serialization import converter

__all__ = [
    "CallPainted",
    "ImageCallBegun",
    "ImageCallFailed",
    "ImageTool",
    "PaintedEvent",
    "PaintingEvent",
    "image_tool",
    "painted",
    "painters",
]

MAX_CALLS = 4
"""Images that one response paints. Further calls fail."""


class ImageCallBegun(Event, frozen=True):
    """The image of a call is about to be painted."""

    prompt: str


class ImageCallFailed(Event, frozen=True):
    """The image of the call that began was not painted."""

    code: str
    message: str
    type: str

    @property
    def error(self) -> ImageCallError:
        return ImageCallError(code=self.code, message=self.message, type=self.type)


class CallPainted(Event, frozen=True):
    """A preview of the image of the call that began, or the image itself, which ends the call."""

    heavy: ClassVar[bool] = True

    image: EncodedImage


PaintedEvent = ImageCallBegun | ImageCallFailed | CallPainted
PaintingEvent = GenerationEvent | PaintedEvent


@attrs.frozen(kw_only=True)
class ImageTool:
    """The tool of one response: the model that paints, and how."""

    painter: ImageProvider
    answer: ImageAnswer
    width: int
    height: int
    seed: int | None
    steps: int | None
    partial_images: int
    request_id: str
    timeout: float | None

    @property
    def model(self) -> str:
        return self.painter.spec.name

    def request(self, prompt: str, number: int) -> ImageRequest:
        """The request of call `number` of the response."""
        return ImageRequest(
            id=f"{self.request_id}-{number}" if number else self.request_id,
            prompt=prompt,
            width=self.width,
            height=self.height,
            seed=self.seed,
            steps=self.steps,
            partial_images=self.partial_images,
            timeout=self.timeout,
        )


def painters(registry: Registry) -> list[ImageProvider]:
    """The models that make images from texts. Others only change images, of which a call has none."""
    return [each for each in registry.available(IMAGE) if "generate" in each.card.images]


def image_tool(
    tools: Sequence[Tool] | None, registry: Registry, *, stream: bool, request_id: str, timeout: float | None
) -> ImageTool | None:
    """The tool of a request. None: the request has none, or the server has no image model.

    Raises:
        InvalidRequest, UnsupportedParameter: a field of it is wrong.
        ExtraNotInstalled: images cannot be encoded here.
    """
    found = (
        (place, tool) for place, tool in enumerate(tools or []) if isinstance(tool, OtherTool) and tool.type == NAME
    )
    place, given = next(found, (0, None))
    if given is None or not (able := painters(registry)):
        return None
    require_encoder()
    tool = _structured(given, f"tools[{place}].")
    try:
        named = registry.find(IMAGE, tool.model or "")
    except ModelNotFound:
        named = able[0]
    painter = named if named in able else able[0]
    try:
        width, height = size_of(tool.size)
    except InvalidRequest as error:
        raise InvalidRequest(f"tools[{place}].{error.message}", param=f"tools[{place}].size") from None
    output_format = tool.output_format or "png"
    compression = 100 if tool.output_compression is None else tool.output_compression
    return ImageTool(
        painter=painter,
        answer=ImageAnswer(edit=False, output_format=output_format, compression=compression, url=False, stream=stream),
        width=width,
        height=height,
        seed=None if tool.seed == -1 else tool.seed,
        steps=tool.steps,
        partial_images=(tool.partial_images or 0) if stream else 0,
        request_id=request_id,
        timeout=timeout,
    )


def painted(
    events: AsyncGenerator[GenerationEvent, None], offered: OfferedTools, tool: ImageTool | None
) -> AsyncGenerator[PaintingEvent, None]:
    """The same events, without the calls of the tool, if there is one. Their images come before the last event."""
    return events if tool is None else _painted(events, offered, tool)


async def _painted(
    events: AsyncGenerator[GenerationEvent, None], offered: OfferedTools, tool: ImageTool
) -> AsyncGenerator[PaintingEvent, None]:
    calls: dict[int, list[str]] = {}
    async with aclosing(events):
        async for event in events:
            if isinstance(event, ToolCallDelta) and _is_ours(event, calls, offered):
                calls.setdefault(event.call, []).append(event.arguments)
                continue
            if isinstance(event, Finished):
                for number, arguments in enumerate(calls.values()):
                    async with aclosing(_call(tool, "".join(arguments), number)) as images:
                        async for image in images:
                            yield image
            yield event


def _structured(tool: OtherTool, path: str) -> ImageGenerationTool:
    given = {"type": tool.type, **tool.fields}
    try:
        contract = converter.structure(given, ImageGenerationTool)
    except Exception as error:
        if not is_validation_error(error):
            raise
        refusal = invalid_body(error)
        raise InvalidRequest(f"{path}{refusal.message}", param=f"{path}{refusal.param or ''}") from None
    check_parameters(contract, path=path)
    note_unknown(given, contract, path)
    return contract


def _is_ours(delta: ToolCallDelta, calls: dict[int, list[str]], offered: OfferedTools) -> bool:
    return delta.call in calls or (delta.name is not None and offered.origin(delta.name).is_image)


async def _call(tool: ImageTool, arguments: str, number: int) -> AsyncGenerator[PaintedEvent, None]:
    """One image, or its failure, which does not fail the response."""
    prompt = _prompt(arguments)
    yield ImageCallBegun(prompt or "")
    try:
        if not prompt:
            raise InvalidRequest("the model wrote no prompt for the image")
        if number >= MAX_CALLS:
            raise InvalidRequest(f"a response paints up to {MAX_CALLS} images")
        images = encoded(tool.painter.generate(tool.request(prompt, number)), tool.answer, model=tool.model)
        async with aclosing(images):
            async for event in images:
                if isinstance(event, EncodedImage):
                    yield CallPainted(event)
                if isinstance(event, FinishedImage):
                    return
    except ServiceError as error:
        yield ImageCallFailed(error.code, error.message, error.type)


def _prompt(arguments: str) -> str | None:
    """The prompt in the arguments of a call, which may be cut off."""
    try:
        given: Any = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        return None
    prompt = given.get(PROMPT) if isinstance(given, dict) else None
    return prompt.strip() or None if isinstance(prompt, str) else None
