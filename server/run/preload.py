"""The worker's start: engines first, because they take longest to be ready; the application while they load.

Importing the application takes about as long as an engine needs before it reads its weights. Both run in processes of
their own, so that starting them one after the other would double the wait.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import otel
from providers.registry import ModelRegistry
from server.run.loopback import is_loopback
from server.settings.settings import Settings

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

__all__ = ["EnginesFirst", "configure_logging"]


_logger = otel.get_logger(__name__)


class EnginesFirst:
    """An ASGI application that starts the models as soon as its lifespan begins, and then builds the real one."""

    def __init__(self, settings: Settings, registry: ModelRegistry, build: Callable[[], ASGIApp]) -> None:
        """`build` makes the application. It runs in a thread, so that the loop can start processes meanwhile."""
        self._settings = settings
        self._registry = registry
        self._build = build
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            self._app = await self._start(send)
        await self._app(scope, receive, send)

    async def _start(self, send: Any) -> ASGIApp:
        """Start the models and build the application.

        An exception of `build` passes through, after every engine has stopped and the server was notified.
        """
        configure_logging(self._settings)
        if self._settings.notes:
            _logger.warning("options without effect", options=list(self._settings.notes))
        for risk in _risks(self._settings):
            _logger.warning(risk)
        await self._registry.start()
        try:
            application = await asyncio.to_thread(self._build)
            gc.collect()  # once, of 5 MB
            gc.enable()
            return application
        except BaseException:
            await self._registry.stop()
            await send({"type": "lifespan.startup.failed", "message": ""})
            raise


def _risks(settings: Settings) -> Iterator[str]:
    """Warnings about a server that others can use or whose key they can read."""
    if not settings.api_keys and not is_loopback(settings.host):
        yield (
            f"every machine that reaches {settings.host} can use this server: no key is required; set API_KEY or "
            "--api-key-file"
        )
    if settings.key_on_command_line:
        yield "the key is in the list of processes, which every user of this machine can read; set API_KEY instead"


def configure_logging(settings: Settings) -> None:
    """Set the level, format and file of the log, in this process and in the engines that it starts."""
    otel.configure_logging(settings.log_level, settings.log_format, settings.log_file)
    os.environ.update(LOG_LEVEL=settings.log_level, LOG_FORMAT=settings.log_format, LOG_FILE=settings.log_file or "")
