"""Effect of a long prompt on a running stream, and of the stream on the prompt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import attrs

from server.cli.bench.client import Sample, Workload, stream_chat
from server.cli.bench.debate import make_brief
from server.cli.bench.load import http_client, percentile
from server.cli.bench.prompts import make_prompts

__all__ = ["Interference", "run_interference"]


@attrs.frozen(kw_only=True)
class Interference:
    """Gaps between the stream's chunks and times to the first token, in seconds."""

    prompt_tokens: int
    quiet_p50: float
    quiet_p95: float
    """Gaps of the stream while nothing else ran."""
    disturbed_p50: float
    disturbed_p95: float
    disturbed_max: float
    """Gaps of the stream between the prompt's arrival and its first token."""
    alone_first_token: float
    beside_first_token: float
    """Time to the first token of equally long prompts, without and with the stream."""
    error: str | None = None

    @property
    def ratio(self) -> float:
        """Disturbed gap divided by quiet gap, at the 95th percentile."""
        return self.disturbed_p95 / self.quiet_p95

    @classmethod
    def of(cls, stream: Sample, alone: Sample, beside: Sample) -> Interference:
        """`beside` arrived while `stream` ran, `alone` while nothing else ran. All times are on one clock."""
        arrival, first = beside.started, beside.started + beside.first_token_seconds
        pairs = list(zip(stream.chunks, stream.chunks[1:], strict=False))
        quiet = [after - before for before, after in pairs if after <= arrival]
        disturbed = [after - before for before, after in pairs if after > arrival and before < first]
        error = next((sample.error for sample in (stream, alone, beside) if sample.error), None)
        if error is None and not (quiet and disturbed and stream.chunks[-1] >= first):
            error = "the stream ended before the prompt's first token; increase --stream-tokens"
        return cls(
            prompt_tokens=beside.prompt_tokens,
            quiet_p50=percentile(quiet, 50),
            quiet_p95=percentile(quiet, 95),
            disturbed_p50=percentile(disturbed, 50),
            disturbed_p95=percentile(disturbed, 95),
            disturbed_max=max(disturbed, default=float("nan")),
            alone_first_token=alone.first_token_seconds,
            beside_first_token=beside.first_token_seconds,
            error=error,
        )


async def run_interference(
    url: str,
    *,
    model: str = "default",
    sentences: int = 144,
    stream_tokens: int = 400,
    quiet_tokens: int = 60,
    api_key: str | None = None,
) -> Interference:
    """Send a long prompt by itself, then an equally long one beside a stream that has sent `quiet_tokens` chunks.

    `url` ends in `/v1`. 144 sentences are about 4,000 tokens. The stream of `stream_tokens` must last longer than the
    second prompt's prefill.
    """
    epoch = time.perf_counter()
    seed = time.time_ns()
    async with http_client(url, api_key=api_key, connections=2) as client:

        async def ask(text: str, max_tokens: int, on_chunk: Callable[[int], None] = lambda count: None) -> Sample:
            body = Workload(model=model, prompts=(text,), max_tokens=max_tokens).body(0)
            return await stream_chat(client, url, body, epoch, on_chunk)

        alone = await ask(make_brief(seed, sentences), 2)
        flows = asyncio.Event()

        def heard(count: int) -> None:
            if count >= quiet_tokens:
                flows.set()

        stream = asyncio.create_task(ask(make_prompts(seed, 1, 30)[0], stream_tokens, heard))
        stream.add_done_callback(lambda _: flows.set())
        await flows.wait()
        beside = await ask(make_brief(seed + 1, sentences), 2)
        return Interference.of(await stream, alone, beside)
