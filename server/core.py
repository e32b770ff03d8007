"""All wiring of the application, in one plugin."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from litestar import Litestar, Response, Router
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import InitPlugin

import otel
from server.api.realtime.connection import Limits
from server.api.realtime.hub import Hub
from server.api.responses.stored.store import ResponseStore
from server.api.routes import routes
from server.dependencies import Registry, Service
from server.drain import Drain
from server.dto import ContractPlugin
from server.errors import EXCEPTION_HANDLERS
from server.guards import ApiKeys, api_key_guard
from server.media.reader import MediaReader
from server.middleware.rate_limit import RequestLimit
from server.middleware.request import is_work
from server.retrieval.retrieval import Retrieval
from server.run.parent_watch import Lifecycle
from server.run.preload import configure_logging
from server.settings.settings import Settings

__all__ = ["ServicePlugin"]

DISTRIBUTION = "mlx-openai-server-lab"
KEPT_REQUESTS = 200
"""Number of recent requests on the page at `/traces`."""


class ServicePlugin(InitPlugin):
    """Turns an empty Litestar application into the service.

    The drain is `app.state.drain`. Code that learns of a shutdown before the lifespan ends calls its `begin()`.
    """

    def __init__(self, settings: Settings, registry: Registry, lifecycle: Lifecycle | None = None) -> None:
        self._settings = settings
        self._registry = registry
        self._lifecycle = lifecycle

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        settings = self._settings
        registry = self._registry
        drain = Drain(settings.grace_period, registry.begin_drain)
        responses = ResponseStore(
            settings.response_store,
            time_to_live=settings.response_store_ttl,
            max_bytes=settings.response_store_size,
        )
        retrieval = Retrieval(registry, folder=settings.data_dir, max_bytes=settings.data_size)
        service = Service(
            registry=registry,
            drain=drain,
            heartbeat_interval=settings.heartbeat_interval,
            responses=responses,
            retrieval=retrieval,
            version=_version(),
            media=MediaReader(
                root=Path(settings.media_root) if settings.media_root else None,
                allow_private=settings.allow_private_media,
                max_bytes=settings.max_media,
                seconds=settings.media_timeout,
            ),
            max_picture_side=settings.max_picture_side,
            audio_input=settings.audio_input,
            embeddings_truncate=settings.embeddings_truncate,
            max_speech_characters=settings.max_speech_characters,
            max_audio_seconds=settings.max_audio_seconds,
        )
        hub = self._hub()
        app_config.state.drain = drain
        app_config.state.service = service
        app_config.state.hub = hub
        app_config.debug = False
        app_config.logging_config = None
        app_config.plugins.append(ContractPlugin())
        app_config.exception_handlers.update(EXCEPTION_HANDLERS)  # type: ignore[arg-type]
        app_config.dependencies["service"] = Provide(lambda: service, sync_to_thread=False)
        app_config.dependencies["retrieval"] = Provide(lambda: retrieval, sync_to_thread=False)
        app_config.dependencies["hub"] = Provide(lambda: hub, sync_to_thread=False)
        app_config.route_handlers.extend(routes(max_upload_bytes=settings.max_upload_bytes))
        app_config.lifespan.append(self._lifespan(service, retrieval))
        app_config.openapi_config = _openapi(with_key=bool(settings.api_keys))
        if settings.api_keys:
            app_config.guards.append(api_key_guard(settings.api_keys, scopes=_scopes(settings)))
        if hub.requests is not None:
            app_config.middleware.append(hub.requests.middleware)
        return app_config

    def _hub(self) -> Hub:
        settings = self._settings
        return Hub(
            api_keys=ApiKeys(settings.api_keys, scopes=_scopes(settings)) if settings.api_keys else None,
            origins=settings.cors_origins,
            limits=Limits(write=settings.write_timeout),
            strict=settings.strict_parameters,
            requests=None if settings.rate_limit is None else RequestLimit(settings.rate_limit, settings.api_keys),
        )

    def _lifespan(
        self, service: Service, retrieval: Retrieval
    ) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
        settings, registry, lifecycle = self._settings, self._registry, self._lifecycle
        drain, responses = service.drain, service.responses

        @asynccontextmanager
        async def lifespan(_: Litestar) -> AsyncIterator[None]:
            async with _process(settings, lifecycle, drain) if lifecycle else nullcontext():
                try:
                    await responses.open()
                    await retrieval.open()
                    await registry.start()
                    yield
                finally:
                    drain.begin()
                    drain.cancel()
                    await service.pulls.stop()
                    await retrieval.close()
                    await registry.stop()
                    await responses.close()

        return lifespan


def _scopes(settings: Settings) -> bool:
    """Whether each key has prompts of its own in the prefix cache."""
    return settings.prefix_cache_scope == "key" and len(set(settings.api_keys)) > 1


@asynccontextmanager
async def _process(settings: Settings, lifecycle: Lifecycle, drain: Drain) -> AsyncIterator[None]:
    """The log, telemetry and lifecycle of a process that serves only this application."""
    configure_logging(settings)
    telemetry = otel.setup(
        service_version=_version(),
        metrics=True,
        recent=KEPT_REQUESTS,
        wanted=is_work,
        content=settings.trace_content,
    )
    lifecycle.start(drain)
    # Imported objects stay alive: garbage collections during streams need not visit them.
    gc.freeze()
    try:
        yield
    finally:
        lifecycle.stop()
        await asyncio.to_thread(telemetry.shutdown)  # it blocks while it exports the last spans


def _openapi(*, with_key: bool) -> OpenAPIConfig:
    """Serve the document as JSON and YAML only: every page that Litestar could render loads scripts from a CDN."""
    scheme = SecurityScheme(type="http", scheme="bearer", description="The server's API key, if it has one.")
    return OpenAPIConfig(
        title=DISTRIBUTION,
        version=_version(),
        description="OpenAI-compatible server for MLX models.",
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, after_request=_refuse_other_pages),
        render_plugins=[JsonRenderPlugin(), YamlRenderPlugin()],
        components=Components(security_schemes={"bearer": scheme}),
        security=[{"bearer": []}] if with_key else None,
    )


def _refuse_other_pages(response: Response[Any]) -> Response[Any]:
    """Litestar answers other paths below the document's with an HTML page that bypasses the error handlers."""
    if response.status_code == 404:
        raise NotFoundException
    return response


def _version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # a source tree that was never installed
        return "0"
