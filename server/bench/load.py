"""Bounded load: a fixed number of requests at a fixed concurrency, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import attrs
import httpx

from server.bench.client import Sample, Workload, stream_chat

__all__ = ["LoadResult", "percentile", "run_load"]


def percentile(values: Sequence[float], rank: float) -> float:
    """Nearest-rank percentile of `values` (`rank` from 0 to 100); NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(rank / 100 * len(ordered)))]


@attrs.frozen(kw_only=True)
class LoadResult:
    """One run: times in seconds, throughput in tokens a second over the whole run."""

    concurrency: int
    requests: int
    errors: int
    tokens: int
    seconds: float
    tokens_per_second: float
    first_token_p50: float
    first_token_p95: float
    inter_token_p50: float
    inter_token_p95: float
    first_error: str | None = None

    @classmethod
    def of(cls, concurrency: int, samples: Sequence[Sample]) -> LoadResult:
        """Summarise a run. The clock runs from the first request sent to the last answer ended."""
        good = [sample for sample in samples if sample.error is None]
        seconds = max(s.ended for s in samples) - min(s.started for s in samples)
        tokens = sum(sample.completion_tokens for sample in good)
        first = [sample.first_token_seconds for sample in good if sample.chunks]
        gaps = [gap for sample in good for gap in sample.gaps]
        return cls(
            concurrency=concurrency,
            requests=len(samples),
            errors=len(samples) - len(good),
            tokens=tokens,
            seconds=seconds,
            tokens_per_second=tokens / seconds if seconds else float("nan"),
            first_token_p50=percentile(first, 50),
            first_token_p95=percentile(first, 95),
            inter_token_p50=percentile(gaps, 50),
            inter_token_p95=percentile(gaps, 95),
            first_error=next((sample.error for sample in samples if sample.error), None),
        )


async def run_load(
    url: str,
    workload: Workload,
    *,
    concurrency: int,
    requests: int,
    api_key: str | None = None,
    request_timeout: float = 600.0,
    on_done: Callable[[], None] = lambda: None,
) -> LoadResult:
    """Send `requests` requests, `concurrency` at a time, to the server at `url` (ending in `/v1`).

    `request_timeout` bounds each request in seconds; `on_done` is called after each one (for a progress bar).
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    limits = httpx.Limits(max_connections=concurrency)
    numbers = iter(range(requests))
    epoch = time.perf_counter()
    samples: list[Sample] = []

    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=request_timeout, trust_env=False) as client:

        async def worker() -> None:
            for number in numbers:
                samples.append(await stream_chat(client, url, workload.body(number), epoch))
                on_done()

        await asyncio.gather(*(worker() for _ in range(concurrency)))
    return LoadResult.of(concurrency, samples)
