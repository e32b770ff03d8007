"""`/health`: open to everyone, key or no key."""

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
        summary="Tell how the server and its models are",
        description="Always 200: whoever wants to route traffic by it asks `/v1/health/ready`.",
        responses=errors(500),
    )
    async def health(self, service: ServiceDependency) -> Health:
        return _health(service)

    @get(
        "/v1/health/live",
        operation_id="getLiveness",
        name="health.live",
        summary="Tell that the process answers",
        responses=errors(500),
    )
    async def live(self) -> Liveness:
        return Liveness()

    @get(
        "/v1/health/ready",
        operation_id="getReadiness",
        name="health.ready",
        summary="Tell whether every model that is loaded at start can answer",
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
    """How the models are that are loaded at start; one loaded on first use is as good as ready, unless it failed."""
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
