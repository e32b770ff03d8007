"""One set of routes for all applications with the same settings of routes: to build them takes a tenth of a second."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from litestar.config.app import AppConfig
from litestar.events import SimpleEventEmitter
from litestar.plugins import PluginProtocol
from litestar.types import ASGIApp, Receive, Scope, Send

from server.core import ServicePlugin
from server.run.litestar_internals import Application

__all__ = ["make_application"]

_BUILT: dict[tuple[object, ...], Application] = {}
_PROVIDED: ContextVar[Mapping[str, Any]] = ContextVar("provided")
"""What the application that answers the current request injects into handlers, by name."""


def make_application(*, plugins: Sequence[PluginProtocol], request_max_body_size: int) -> Application:
    """`Application(…)` as `create_app` calls it, with routes that may be those of another application.

    The state, the dependencies and the lifespan are the application's own, as `ServicePlugin` makes them.
    """
    service, *_ = plugins
    assert isinstance(service, ServicePlugin)
    settings = service._settings
    if settings.rate_limit is not None:  # a middleware that counts
        return Application(plugins=plugins, request_max_body_size=request_max_body_size)
    key = (settings.api_keys, settings.prefix_cache_scope, settings.max_upload_bytes, request_max_body_size)
    if (built := _BUILT.get(key)) is None:
        built = _BUILT[key] = Application(plugins=plugins, request_max_body_size=request_max_body_size)
        for name, provide in built.dependencies.items():
            provide.dependency = _provided(name)
    return _sharing(built, service.on_app_init(AppConfig()))


def _sharing(built: Application, config: AppConfig) -> Application:
    app = copy.copy(built)
    app.state = config.state
    app.event_emitter = SimpleEventEmitter(listeners=[])
    app._lifespan_managers = config.lifespan
    app.asgi_router = copy.copy(built.asgi_router)
    app.asgi_router.app = app
    app.asgi_handler = _providing(
        built.asgi_handler, {name: provide.dependency() for name, provide in config.dependencies.items()}
    )
    return app


def _providing(handler: ASGIApp, values: Mapping[str, Any]) -> ASGIApp:
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        _PROVIDED.set(values)
        await handler(scope, receive, send)

    return handle


def _provided(name: str) -> Any:
    return lambda: _PROVIDED.get()[name]
