"""`GET /v1/queue/stats`: counts of requests, and their times."""

from __future__ import annotations

import attrs

__all__ = ["QueueStatistics", "QueueStatisticsResponse"]


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
class QueueStatisticsResponse:
    """The queues of all models, and their total. Its times are the mean over all requests and the maximum."""

    total: QueueStatistics
    models: dict[str, QueueStatistics]
