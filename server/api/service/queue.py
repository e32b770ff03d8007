"""`/v1/queue/stats`."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from litestar import Controller, get

from contracts.service.queue import ModelMemory, QueueStatistics, QueueStatisticsResponse, Residency
from providers.protocols import QueueStats
from server.api.error_responses import errors
from server.api.service.models import replicas
from server.dependencies import ServiceDependency

__all__ = ["QueueController"]

_COUNTERS = ("active", "pending", "completed", "failed", "cancelled", "rejected")


class QueueController(Controller):
    path = "/v1/queue"
    tags = ("Queue",)

    @get(
        "/stats",
        operation_id="getQueueStatistics",
        name="queue.stats",
        summary="Report waiting and running requests, their times, and the memory of models",
        responses=errors(401, 500),
    )
    async def stats(self, service: ServiceDependency) -> QueueStatisticsResponse:
        registry = service.registry
        by_model = {provider.spec.name: provider.queue_stats for provider in registry.providers()}
        return QueueStatisticsResponse(
            total=_total([*by_model.values()]),
            models={name: _wire(stats) for name, stats in by_model.items()},
            replicas={
                provider.spec.name: found for provider in registry.providers() if (found := replicas(provider.card))
            }
            or None,
            residency=Residency(
                limit=registry.memory_limit,
                used=sum(provider.memory.memory for provider in registry.providers()),
                models={
                    provider.spec.name: ModelMemory(status=provider.card.status, **attrs.asdict(provider.memory))
                    for provider in registry.providers()
                },
            ),
        )


def _wire(stats: QueueStats) -> QueueStatistics:
    return QueueStatistics(**attrs.asdict(stats))


def _total(all_stats: Sequence[QueueStats]) -> QueueStatistics:
    """Counters are added, means are weighted by the requests that ended, and the largest maximum is kept."""
    ended = [stats.completed + stats.failed + stats.cancelled for stats in all_stats]
    weights = ended if any(ended) else [1] * len(all_stats)

    def mean(name: str) -> float:
        weighted: float = sum(getattr(stats, name) * weight for stats, weight in zip(all_stats, weights, strict=True))
        return weighted / (sum(weights) or 1)

    return QueueStatistics(
        **{name: sum(getattr(stats, name) for stats in all_stats) for name in _COUNTERS},
        wait_seconds_mean=mean("wait_seconds_mean"),
        wait_seconds_max=max((stats.wait_seconds_max for stats in all_stats), default=0.0),
        service_seconds_mean=mean("service_seconds_mean"),
        service_seconds_max=max((stats.service_seconds_max for stats in all_stats), default=0.0),
    )
