"""Queues for tests, and time for the tasks that wait in them."""

from __future__ import annotations

import asyncio

from providers.admission import AdmissionQueue

__all__ = ["queue", "settle"]


def queue(*, at_once: int = 1, waiting: int = 10, timeout: float = 60.0) -> AdmissionQueue:
    return AdmissionQueue(max_concurrency=at_once, queue_size=waiting, queue_timeout=timeout)


async def settle() -> None:
    """Let every task that can run, run."""
    for _ in range(5):
        await asyncio.sleep(0)
