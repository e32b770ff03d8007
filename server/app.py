"""The application factory: `granian --interface asgi --factory server.app:create_app`."""

from __future__ import annotations

from litestar import Litestar

from providers.registry import ModelRegistry
from server.core import ServicePlugin
from server.dependencies import Registry
from server.middleware import RequestMiddleware
from server.run.parent_watch import Lifecycle
from server.schemas import ContractSchemaPlugin
from server.settings.settings import Settings

__all__ = ["create_app"]


def create_app(
    settings: Settings | None = None, registry: Registry | None = None, *, lifecycle: Lifecycle | None = None
) -> Litestar:
    """Assemble the service; nothing loads before its lifespan begins.

    `settings` come from the environment when left out, `registry` from the settings. Only a `lifecycle` touches the
    process (its log, telemetry, signals from its parent); the environment's settings bring one along.

    Raises:
        SettingsError: the environment holds a bad value.
        ValueError: the models cannot be served together.
    """
    if settings is None:
        settings = Settings.from_env()
        lifecycle = lifecycle or Lifecycle()
    registry = ModelRegistry(settings.models) if registry is None else registry
    app = Litestar(
        plugins=[ServicePlugin(settings, registry, lifecycle), ContractSchemaPlugin()],
        request_max_body_size=settings.max_body_bytes,  # of a plugin's AppConfig, Litestar would not read it
    )
    app.asgi_handler = RequestMiddleware(
        app.asgi_handler, errors=app.state.service.errors, log_bodies=settings.log_bodies
    )
    return app
