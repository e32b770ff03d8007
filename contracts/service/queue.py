"""`GET /v1/queue/stats`: who waits, who is served, and how long it took."""

from __future__ import annotations

import attrs

__all__ = ["QueueStatistics", "QueueStatisticsResponse"]


@attrs.frozen(kw_only=True)
class QueueStatistics:
    """Counters since the server started; times in seconds over the most recent requests."""

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
class QueueStatisticsResponse:
    """Every model's queue, and their sum (of times: the mean over requests, and the largest)."""

    total: QueueStatistics
    models: dict[str, QueueStatistics]
