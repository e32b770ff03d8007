"""`/health` and `/v1/health/…`. They need no API key."""

from __future__ import annotations

from typing import Literal

from litestar import Controller, get

from contracts.service.health import Health, Liveness
from providers.errors import ModelNotReady
from providers.protocols import ModelStatus
from server.api.error_responses import errors
from server.dependencies import Service, ServiceDependency

__all__ = ["HealthController"]


class HealthController(Controller):
    tags = ("Health",)
    opt = {"open": True}  # noqa: RUF012

    @get(
        "/health",
        operation_id="getHealth",
        name="health",
        summary="Report the state of the server and its models",
        description="Always 200. To route traffic by readiness, use `/v1/health/ready`.",
        responses=errors(500),
    )
    async def health(self, service: ServiceDependency) -> Health:
        return _health(service)

    @get(
        "/v1/health/live",
        operation_id="getLiveness",
        name="health.live",
        summary="Report that the process responds",
        responses=errors(500),
    )
    async def live(self) -> Liveness:
        return Liveness()

    @get(
        "/v1/health/ready",
        operation_id="getReadiness",
        name="health.ready",
        summary="Report whether every model that loads at start is ready",
        responses=errors(500, 503),
    )
    async def ready(self, service: ServiceDependency) -> Health:
        health = _health(service)
        if health.status == "ok":
            return health
        waiting = ", ".join(f"{name} is {status}" for name, status in _at_start(service).items() if status != "ready")
        if not waiting:
            raise ModelNotReady.shutting_down(retry_after=1.0)
        raise ModelNotReady(waiting, retry_after=1.0)


def _health(service: Service) -> Health:
    return Health(
        status="draining" if service.drain.begun else _summary([*_at_start(service).values()]),
        version=service.version,
        models={provider.spec.name: provider.card.status for provider in service.registry.providers()},
    )


def _at_start(service: Service) -> dict[str, ModelStatus]:
    """The states of the models that load at start, and of others that failed.

    A model that loads on first use counts as ready unless it failed.
    """
    return {
        provider.spec.name: provider.card.status
        for provider in service.registry.providers()
        if not provider.spec.lazy or provider.card.status == "failed"
    }


def _summary(statuses: list[ModelStatus]) -> Literal["ok", "loading", "degraded", "failed"]:
    if all(status == "ready" for status in statuses):
        return "ok"
    if any(status in ("loading", "restarting") for status in statuses):
        return "loading"
    return "degraded" if "ready" in statuses else "failed"
