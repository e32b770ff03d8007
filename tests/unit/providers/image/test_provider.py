"""What an image provider makes of an engine's events: images in a row, with one place, and their spans."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest

from otel import names
from otel.testing import capture_spans
from providers.capabilities import ModelType
from providers.engine_host.event_stream import Mailbox
from providers.engine_host.frames import EngineInfo
from providers.errors import InternalError, ServiceError
from providers.image.provider import EngineImageProvider
from providers.image.types import ImageAccepted, ImageEvent, ImageFinished, ImagePreview, ImageRequest, SourceImage
from providers.protocols import ModelStatus
from providers.spec import ModelSpec

GREY = bytes([127]) * 12
REQUEST = ImageRequest(id="r1", prompt="a cube", n=2, width=2, height=2, sources=[SourceImage(2, 2, GREY)])

Script = Callable[[ImageRequest], AsyncGenerator[ImageEvent, None]]


class Scripted(EngineImageProvider):
    """Ready, and answering by its script."""

    def __init__(self, script: Script) -> None:
        super().__init__(ModelSpec(name="tiny", path="", model_type="image-generation", max_concurrency=1))
        self._events = script  # type: ignore[method-assign]

    @property
    def _status(self) -> ModelStatus:
        return "ready"

    def _refusal(self) -> ServiceError | None:
        return None


async def painted(request: ImageRequest) -> AsyncGenerator[ImageEvent, None]:
    yield ImageAccepted(2, 2, 4, 7)
    for index in range(request.n):
        yield ImagePreview(index, 0, 2, 2, GREY)
        yield ImageFinished(index, 2, 2, GREY, 7 + index, 4, 0.0, 0.001, 0.002, 0.003, (0.0005, 0.0015))


async def broken_off(request: ImageRequest) -> AsyncGenerator[ImageEvent, None]:
    async with aclosing(painted(request)) as events:
        async for event in events:
            if isinstance(event, ImageFinished) and event.index:
                return
            yield event


async def test_several_images_take_one_place_and_have_spans_of_their_own() -> None:
    provider = Scripted(painted)
    with capture_spans() as spans:
        async with aclosing(provider.generate(REQUEST)) as events:
            seen = [event async for event in events]

    assert [event.index for event in seen if isinstance(event, ImageFinished)] == [0, 1]
    assert provider.queue_stats.completed == 1
    span = spans.one("image tiny")
    assert span.attributes is not None
    found = {name: span.attributes[name] for name in span.attributes if name.startswith("mlx.image.")}
    assert found == {
        names.IMAGE_COUNT: 2,
        names.IMAGE_SOURCES: 1,
        names.IMAGE_WIDTH: 2,
        names.IMAGE_HEIGHT: 2,
        names.IMAGE_STEPS: 4,
    }
    children = [each for each in spans.all() if each.name in ("encode", "denoise", "decode")]
    assert [(each.name, (each.attributes or {})[names.IMAGE_INDEX]) for each in children] == [
        (name, index) for index in (0, 1) for name in ("encode", "denoise", "decode")
    ]
    for child in children:
        begin, end = child.start_time or 0, child.end_time or 0
        assert [event.name for event in child.events] == [names.EVENT_STEP] * (2 if child.name == "denoise" else 0)
        assert all(begin <= event.timestamp <= end for event in child.events)


async def test_an_answer_without_its_last_image_is_an_error() -> None:
    async with aclosing(Scripted(broken_off).generate(REQUEST)) as events:
        with pytest.raises(InternalError):
            _ = [event async for event in events]


async def test_the_events_of_an_engine_end_with_the_last_image() -> None:
    closed: list[bool] = []
    mailbox: Mailbox[ImageEvent] = EngineImageProvider(
        ModelSpec(name="tiny", path="", model_type="image-generation")
    )._mailbox(REQUEST)(closed.append)
    async with aclosing(painted(REQUEST)) as events:
        async for event in events:
            assert not mailbox.ended
            mailbox.put(event)

    assert mailbox.ended


@pytest.mark.parametrize(
    ("model_type", "sources", "images"),
    [
        ("image-generation", None, ("generate",)),
        ("image-generation", "none", ("generate",)),
        ("image-generation", "one", ("generate", "edit")),
        ("image-edit", None, ("edit",)),
        ("image-edit", "many", ("edit",)),
    ],
)
def test_a_model_that_can_begin_with_an_image_edits_too(
    model_type: ModelType, sources: str | None, images: tuple[str, ...]
) -> None:
    provider = EngineImageProvider(ModelSpec(name="tiny", path="", model_type=model_type))
    if sources is not None:
        provider.host.info = EngineInfo(None, "cpu", "float32", "-", 0.0, {"sources": sources})
    assert provider.card.images == images
