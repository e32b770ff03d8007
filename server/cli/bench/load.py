"""Bounded load, a fixed number of requests at a fixed concurrency, and its results."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

import attrs
import httpx

from server.cli.bench.client import Sample, Workload, stream_chat

__all__ = ["LoadResult", "ask_all", "http_client", "percentile", "run_load"]


def percentile(values: Sequence[float], rank: float) -> float:
    """Nearest-rank percentile of `values` (`rank` from 0 to 100); NaN if there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(rank / 100 * len(ordered)))]


@attrs.frozen(kw_only=True)
class LoadResult:
    """One run. Times are in seconds, throughput in tokens per second over the whole run. NaN: nothing was measured."""

    concurrency: int
    requests: int
    errors: int
    tokens: int
    seconds: float
    tokens_per_second: float
    first_token_p50: float
    first_token_p95: float
    first_token_p99: float
    inter_token_p50: float
    inter_token_p95: float
    inter_token_p99: float
    prompt_tokens: float
    """Average per request, as reported by the server."""
    cached_tokens: float
    """Average number of cached prompt tokens per request, as reported by the server."""
    tokens_per_answer: float
    short_answers: int
    """Number of answers that ended before their `max_tokens`."""
    counted_chunks: bool = False
    """True: the server reported no tokens, so chunks are counted instead."""
    first_error: str | None = None

    @classmethod
    def of(cls, concurrency: int, samples: Sequence[Sample], max_tokens: int) -> LoadResult:
        """Summarize a run of at least one request. Its duration is the time from the first request's start to the last
        answer's end."""
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
            tokens_per_second=tokens / seconds if good and seconds else float("nan"),
            first_token_p50=percentile(first, 50),
            first_token_p95=percentile(first, 95),
            first_token_p99=percentile(first, 99),
            inter_token_p50=percentile(gaps, 50),
            inter_token_p95=percentile(gaps, 95),
            inter_token_p99=percentile(gaps, 99),
            prompt_tokens=_mean([sample.prompt_tokens for sample in good]),
            cached_tokens=_mean([sample.cached_tokens for sample in good]),
            tokens_per_answer=_mean([sample.completion_tokens for sample in good]),
            short_answers=sum(sample.completion_tokens < max_tokens for sample in good),
            counted_chunks=any(not sample.has_usage for sample in good),
            first_error=next((sample.error for sample in samples if sample.error), None),
        )

    @classmethod
    def over_rounds(cls, results: Sequence[LoadResult]) -> LoadResult:
        """Several runs of one case as one: the sum of the counts, the median of everything else."""
        added = {"requests", "errors", "tokens", "short_answers"}
        either = {"concurrency", "counted_chunks", "first_error"}
        merged = {
            field.name: [getattr(result, field.name) for result in results]
            for field in attrs.fields(cls)
            if field.name not in either
        }
        return cls(
            concurrency=results[0].concurrency,
            counted_chunks=any(result.counted_chunks for result in results),
            first_error=next((result.first_error for result in results if result.first_error), None),
            **{name: sum(values) if name in added else statistics.median(values) for name, values in merged.items()},
        )


def _mean(values: Sequence[int]) -> float:
    return statistics.fmean(values) if values else float("nan")


def http_client(url: str, *, api_key: str | None, connections: int) -> httpx.AsyncClient:
    """A client for the server at `url`, with a timeout long enough for slow servers."""
    return httpx.AsyncClient(
        headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
        limits=httpx.Limits(max_connections=connections),
        timeout=600.0,
        # The environment's proxies must not be used for a server on this machine.
        trust_env=urlsplit(url).hostname not in {"127.0.0.1", "localhost", "::1"},
    )


async def run_load(
    url: str,
    workload: Workload,
    *,
    concurrency: int,
    requests: int,
    api_key: str | None = None,
    on_done: Callable[[Sample], None] = lambda _: None,
) -> LoadResult:
    """Send `requests` requests, `concurrency` at a time, to the server at `url` (ending in `/v1`).

    `on_done` is called with each sample when its request ends.
    """
    samples = await ask_all(
        url,
        workload,
        range(requests),
        concurrency=concurrency,
        epoch=time.perf_counter(),
        api_key=api_key,
        on_done=on_done,
    )
    return LoadResult.of(concurrency, samples, workload.max_tokens)


async def ask_all(
    url: str,
    workload: Workload,
    numbers: Iterable[int],
    *,
    concurrency: int,
    epoch: float,
    api_key: str | None = None,
    on_done: Callable[[Sample], None] = lambda _: None,
) -> list[Sample]:
    """Send the workload's requests with these numbers, as `run_load` does. `epoch`: the run's begin on
    `time.perf_counter`'s clock."""
    left = iter(numbers)
    samples: list[Sample] = []

    async with http_client(url, api_key=api_key, connections=concurrency) as client:

        async def worker() -> None:
            for number in left:
                samples.append(await stream_chat(client, url, workload.body(number), epoch))
                on_done(samples[-1])

        await asyncio.gather(*(worker() for _ in range(concurrency)))
    return samples
