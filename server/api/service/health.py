"""`/health` and `/v1/health/…`. They need no API key."""

from __future__ import annotations

from typing import Literal

from litestar import Controller, MediaType, Response, get
from litestar.openapi import ResponseSpec

from contracts.service.health import Health, Liveness
from providers.protocols import ModelStatus
from server.api.error_responses import errors
from server.dependencies import Service, ServiceDependency

__all__ = ["HealthController"]

_NOT_READY = "A model that loads at start cannot answer now; `Retry-After` says when to ask again."
_RESPONSES = {503: ResponseSpec(Health, generate_examples=False, description=_NOT_READY), **errors(500)}


class HealthController(Controller):
    tags = ("Health",)
    opt = {"open": True}  # noqa: RUF012

    @get(
        "/health",
        media_type=MediaType.JSON,
        operation_id="getHealth",
        name="health",
        summary="Report the state of the server and its models",
        description="503 until every model that loads at start can answer, and while one of them cannot.",
        responses=_RESPONSES,
    )
    async def health(self, service: ServiceDependency) -> Response[Health]:
        return _answer(service)

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
        media_type=MediaType.JSON,
        operation_id="getReadiness",
        name="health.ready",
        summary="Report whether every model that loads at start can answer",
        description="The same as `/health`.",
        responses=_RESPONSES,
    )
    async def ready(self, service: ServiceDependency) -> Response[Health]:
        return _answer(service)


def _answer(service: Service) -> Response[Health]:
    health = _health(service)
    if health.status == "ok":
        return Response(health)
    return Response(health, status_code=503, headers={"retry-after": "1"})


def _health(service: Service) -> Health:
    default = next((one for one in service.registry.providers() if not one.spec.lazy), None)
    return Health(
        status="draining" if service.drain.begun else _summary([*_at_start(service).values()]),
        version=service.version,
        model_id=default.spec.name if default else None,
        model_status=default.card.status if default else None,
        models={provider.spec.name: provider.card.status for provider in service.registry.providers()},
    )


def _at_start(service: Service) -> dict[str, ModelStatus]:
    """The states of the models that load at start, and of others that failed.

    A model that a request would load, on first use or because it was unloaded, counts as ready unless it failed.
    """
    return {
        provider.spec.name: provider.card.status
        for provider in service.registry.providers()
        if not (provider.spec.lazy or provider.card.on_demand) or provider.card.status == "failed"
    }


def _summary(statuses: list[ModelStatus]) -> Literal["ok", "loading", "degraded", "failed"]:
    if all(status == "ready" for status in statuses):
        return "ok"
    if any(status in ("loading", "restarting") for status in statuses):
        return "loading"
    return "degraded" if "ready" in statuses else "failed"
