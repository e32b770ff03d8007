"""The application factory: `granian --interface asgi --factory server.app:create_app`."""

from __future__ import annotations

from litestar import Litestar

from providers.registry import ModelRegistry
from providers.residency import Residency
from server.core import ServicePlugin
from server.dependencies import Registry
from server.middleware.addressing import AddressMiddleware
from server.middleware.cors import CorsMiddleware
from server.middleware.request import RequestMiddleware
from server.middleware.slow_clients import Limits, SlowClientsMiddleware
from server.middleware.unread_body import UnreadBodyMiddleware
from server.run.litestar_internals import Application
from server.run.loopback import is_loopback
from server.run.parent_watch import Lifecycle
from server.schemas import ContractSchemaPlugin
from server.settings.settings import Settings

__all__ = ["create_app"]


def create_app(
    settings: Settings | None = None, registry: Registry | None = None, *, lifecycle: Lifecycle | None = None
) -> Litestar:
    """Assemble the service. Nothing loads before its lifespan begins.

    Without `settings` the environment is read and a `lifecycle` is created. Without `registry` it comes from the
    settings. Only a `lifecycle` touches the process: its log, its telemetry, and signals from its parent.

    Raises:
        SettingsError: the environment holds a bad value.
        ValueError: the models cannot be served together.
    """
    hosts: tuple[str, ...] | None = None
    if settings is None:
        settings = Settings.from_env()
        lifecycle = lifecycle or Lifecycle()
    elif is_loopback(settings.host):
        hosts = settings.allowed_hosts
    if registry is None:
        registry = ModelRegistry(settings.models, residency=Residency(settings.memory_limit))
    app = Application(
        plugins=[ServicePlugin(settings, registry, lifecycle), ContractSchemaPlugin()],
        request_max_body_size=settings.max_body_bytes,  # Litestar does not read this from a plugin's AppConfig
    )
    handler = (
        CorsMiddleware(app.asgi_handler, origins=settings.cors_origins) if settings.cors_origins else app.asgi_handler
    )
    answered = RequestMiddleware(
        AddressMiddleware(handler, hosts=hosts),
        errors=app.state.service.errors,
        log_bodies=settings.log_bodies,
        strict=settings.strict_parameters,
    )
    bounded = SlowClientsMiddleware(answered, limits=_limits(settings), drain=app.state.drain)
    app.asgi_handler = UnreadBodyMiddleware(bounded, drain=app.state.drain)
    return app


def _limits(settings: Settings) -> Limits:
    return Limits(
        body_timeout=settings.body_timeout,
        body_min_rate=settings.body_min_rate,
        max_body_total=settings.max_body_total,
        write_timeout=settings.write_timeout,
    )
