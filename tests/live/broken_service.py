"""The real application over a provider with a bug, for `granian --factory tests.live.broken_service:create_app`."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from litestar import Litestar

from providers.chat.types import GenerationEvent, GenerationRequest
from providers.echo.provider import EchoProvider
from providers.registry import ModelRegistry
from providers.spec import ModelSpec
from server import app
from server.run.parent_watch import Lifecycle
from server.settings.settings import Settings

__all__ = ["SECRET", "create_app"]

SECRET = "the-secret-of-the-house"


class BrokenProvider(EchoProvider):
    """Fails with an unforeseen error: immediately, or after the first word when `max_tokens` is given."""

    async def _events(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        if request.max_tokens is None:
            raise ZeroDivisionError(SECRET)
        words = 0
        async for event in super()._events(request):
            yield event
            words += 1
            if words > request.max_tokens:
                raise ZeroDivisionError(SECRET)


def create_app() -> Litestar:
    specs = (ModelSpec(name="broken", path="", model_type="echo"),)
    return app.create_app(
        Settings(models=specs), ModelRegistry(specs, factories={"echo": BrokenProvider}), lifecycle=Lifecycle()
    )
