"""What a long prompt does to a stream that is already running, and what the stream does to the prompt."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import attrs
import httpx

from server.bench.client import Sample, Workload, stream_chat
from server.bench.debate import make_brief
from server.bench.load import percentile

__all__ = ["InterferenceResult", "run_interference"]


@attrs.frozen(kw_only=True)
class InterferenceResult:
    """Gaps between the stream's chunks and times to the first token, in seconds."""

    prompt_tokens: int
    quiet_p50: float
    quiet_p95: float
    """While nothing else ran."""
    disturbed_p50: float
    disturbed_p95: float
    disturbed_max: float
    """From the prompt's arrival to its first token."""
    alone_first_token: float
    beside_first_token: float
    """Of a prompt as long, while nothing else ran and while the stream did."""
    error: str | None = None

    @property
    def ratio(self) -> float:
        """Disturbed over quiet, at the 95th percentile."""
        return self.disturbed_p95 / self.quiet_p95


async def run_interference(
    url: str,
    *,
    model: str = "default",
    prompt_sentences: int = 144,
    stream_tokens: int = 300,
    quiet_seconds: float = 12.0,
    seed: int = 0,
    api_key: str | None = None,
    request_timeout: float = 600.0,
) -> InterferenceResult:
    """Run a long prompt alone, then another as long beside a stream that has been running for `quiet_seconds`, on the
    server at `url` (ending in `/v1`). 144 sentences are about 4,000 tokens.

    `stream_tokens` must outlast the prompt; where it does not, only the gaps until the stream's end count.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    epoch = time.perf_counter()
    async with httpx.AsyncClient(headers=headers, timeout=request_timeout, trust_env=False) as client:

        async def ask(text: str, max_tokens: int) -> Sample:
            body: dict[str, Any] = Workload(model=model, prompts=(text,), max_tokens=max_tokens).body(0)
            return await stream_chat(client, url, body, epoch)

        alone = await ask(make_brief(seed, prompt_sentences), 2)
        stream = asyncio.create_task(
            ask("Count from one to one thousand, in words, and leave out no number.", stream_tokens)
        )
        await asyncio.sleep(quiet_seconds)
        beside = await ask(make_brief(seed + 1, prompt_sentences), 2)
        running = await stream
    arrival, first = beside.started, beside.started + beside.first_token_seconds
    times = list(zip(running.chunks, running.chunks[1:], strict=False))
    quiet = [after - before for before, after in times if after <= arrival]
    disturbed = [after - before for before, after in times if after > arrival and before < first]
    return InterferenceResult(
        prompt_tokens=beside.prompt_tokens,
        quiet_p50=percentile(quiet, 50),
        quiet_p95=percentile(quiet, 95),
        disturbed_p50=percentile(disturbed, 50),
        disturbed_p95=percentile(disturbed, 95),
        disturbed_max=max(disturbed, default=float("nan")),
        alone_first_token=alone.first_token_seconds,
        beside_first_token=beside.first_token_seconds,
        error=next((sample.error for sample in (alone, beside, running) if sample.error), None),
    )
