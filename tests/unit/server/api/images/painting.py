"""Applications with an image model: the echo, or one with a test's script. And files to edit."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncGenerator, Callable
from typing import Any

from litestar import Litestar
from PIL import Image

from providers.echo.provider import EchoProvider
from providers.image.types import ImageAccepted, ImageEvent, ImageFinished, ImageProgress, ImageRequest
from providers.registry import ModelRegistry
from providers.spec import ModelSpec
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.harness import Exchange, ask, start

PATH, EDITS = "/v1/images/generations", "/v1/images/edits"
BODY: dict[str, Any] = {"prompt": "a red cube", "size": "64x64", "seed": 1}

Script = Callable[[ImageRequest], AsyncGenerator[ImageEvent, None]]


class ScriptedPainter(EchoProvider):
    """The echo, whose images come from a script."""

    def __init__(self, script: Script) -> None:
        super().__init__(ModelSpec(name="painter", path="", model_type="echo"))
        self.script = script
        self.started, self.closed = asyncio.Event(), asyncio.Event()
        self.requests: list[ImageRequest] = []

    async def _image_events(self, request: ImageRequest) -> AsyncGenerator[ImageEvent, None]:
        self.requests.append(request)
        self.started.set()
        try:
            async for event in self.script(request):
                yield event
        finally:
            self.closed.set()


async def endless(request: ImageRequest) -> AsyncGenerator[ImageEvent, None]:
    """Paints step after step, and never finishes."""
    yield ImageAccepted(64, 64, 1000, 7)
    for step in range(1, 1000):
        yield ImageProgress(0, step, 1000)
        await asyncio.sleep(0.01)


async def white(request: ImageRequest) -> AsyncGenerator[ImageEvent, None]:
    """Paints white images of the requested size."""
    yield ImageAccepted(request.width, request.height, 1, 7)
    for index in range(request.n):
        pixels = b"\xff" * (3 * request.width * request.height)
        yield ImageFinished(index, request.width, request.height, pixels, 7 + index, 1)


async def app_of(provider: EchoProvider, **settings: Any) -> Litestar:
    registry = ModelRegistry((provider.spec,), factories={"echo": lambda spec: provider})
    await registry.start()
    return create_app(Settings(models=(provider.spec,), grace_period=0.05, **settings), registry)


async def echoing(path: str = "", **settings: Any) -> Litestar:
    return await app_of(EchoProvider(ModelSpec(name="echo", path=path, model_type="echo")), **settings)


async def paint(app: Litestar, **fields: Any) -> Exchange:
    return await ask(app, path=PATH, json={**BODY, **fields})


def begin(app: Litestar, **fields: Any) -> Exchange:
    return start(app, path=PATH, json={**BODY, **fields})


def opened(file: str | bytes) -> Image.Image:
    data = base64.b64decode(file) if isinstance(file, str) else file
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def file_of(image: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()
