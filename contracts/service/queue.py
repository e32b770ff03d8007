"""`GET /v1/queue/stats`: counts of requests, and their times."""

from __future__ import annotations

import attrs

from contracts._fields import EXPLICIT_NULL
from contracts.service.models import ModelStatus, Replica

__all__ = ["ModelMemory", "QueueStatistics", "QueueStatisticsResponse", "Residency"]


@attrs.frozen(kw_only=True)
class QueueStatistics:
    """Counts since the server started. Times are seconds, over the most recent requests."""

    active: int
    pending: int
    completed: int
    failed: int
    cancelled: int
    rejected: int
    wait_seconds_mean: float
    wait_seconds_max: float
    service_seconds_mean: float
    service_seconds_max: float


@attrs.frozen(kw_only=True)
class ModelMemory:
    """What a model has of the memory. Sizes are bytes, times seconds."""

    status: ModelStatus
    memory: int
    """What it was measured to have, or will need while it loads."""
    pinned: bool
    uses: int
    """Requests that are answered or wait for the model to load, and questions about tokens."""
    idle: float
    """Time since it was used last; 0 while it is in use."""


@attrs.frozen(kw_only=True)
class Residency:
    """The memory of all models in bytes; `limit` is null without `--memory-limit`."""

    limit: int | None = attrs.field(metadata=EXPLICIT_NULL)
    used: int
    models: dict[str, ModelMemory]


@attrs.frozen(kw_only=True)
class QueueStatisticsResponse:
    """The queues of all models, and their total. Its times are the mean over all requests and the maximum."""

    total: QueueStatistics
    models: dict[str, QueueStatistics]
    replicas: dict[str, list[Replica]] | None = None
    """Of each model with several engines, which share its queue."""
    residency: Residency
